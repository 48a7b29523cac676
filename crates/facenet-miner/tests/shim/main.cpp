// Runs kernels by request: reads launches from standard input, writes what they change to
// standard output, until the input ends. `shim ORDER SEED`, ORDER forward, reversed or shuffled.
//
// A request, little-endian: u32 kernel (number of the file below), u32 grid.x, u32 grid.y,
// u32 arguments; each argument u32 tag and its value: U32 and F64 as they are; IN and OUT as u32
// element, u32 offset (bytes past a 16-byte boundary), u32 values, values. The reply: the values
// of every OUT, in order. What does not fit the kernel's parameters ends the program.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda_shim.h"
#include "scheduler.h"

#include "pairwise_sq_l2.cu"
#include "pair_sq_l2.cu"
#include "count_admissible.cu"
#include "pick_admissible.cu"
#include "closest_admissible.cu"
#include "hardest.cu"

namespace {

enum Tag : std::uint32_t { U32, F64, IN, OUT };
enum Element : std::uint32_t { ELEMENT_F32, ELEMENT_F64, ELEMENT_U32 };

struct Free {
    void operator()(char *memory) const { std::free(memory); }
};

struct Arg {
    std::uint32_t tag, element;
    std::uint32_t u32;
    double f64;
    std::unique_ptr<char, Free> memory; // exactly as long as the buffer, for AddressSanitizer
    char *data;
    std::vector<char> before;
};

void read_exactly(void *to, std::size_t size) {
    if (std::fread(to, 1, size, stdin) != size) shim::fail("the request is cut short");
}

template <typename T> T read() {
    T value;
    read_exactly(&value, sizeof value);
    return value;
}

void read_buffer(Arg &arg) {
    arg.element = read<std::uint32_t>();
    const auto offset = read<std::uint32_t>();
    const std::size_t width = arg.element == ELEMENT_F64 ? 8 : 4;
    const std::size_t size = width * read<std::uint32_t>();
    arg.before.resize(size);
    if (size > 0) read_exactly(arg.before.data(), size);
    arg.memory.reset(static_cast<char *>(std::malloc(offset + size)));
    arg.data = arg.memory.get() + offset;
    if (size > 0) std::memcpy(arg.data, arg.before.data(), size);
}

std::vector<Arg> read_args() {
    std::vector<Arg> args(read<std::uint32_t>());
    for (Arg &arg : args) {
        arg.tag = read<std::uint32_t>();
        if (arg.tag == U32) {
            arg.u32 = read<std::uint32_t>();
        } else if (arg.tag == F64) {
            arg.f64 = read<double>();
        } else {
            read_buffer(arg);
        }
    }
    return args;
}

template <typename T> constexpr Element element_of() {
    using Value = std::remove_const_t<T>;
    if (std::is_same_v<Value, float>) return ELEMENT_F32;
    if (std::is_same_v<Value, double>) return ELEMENT_F64;
    return ELEMENT_U32;
}

// The argument as the kernel's parameter, or the end.
template <typename P> P parameter(const Arg &arg, std::size_t place) {
    if constexpr (std::is_pointer_v<P>) {
        using Value = std::remove_pointer_t<P>;
        const Tag tag = std::is_const_v<Value> ? IN : OUT;
        if (arg.tag != tag || arg.element != element_of<Value>()) {
            shim::fail("argument %zu: another pointer than the kernel's", place);
        }
        return reinterpret_cast<P>(arg.data);
    } else {
        static_assert(std::is_same_v<P, unsigned int> || std::is_same_v<P, double>, "a number");
        if (arg.tag != (std::is_same_v<P, double> ? F64 : U32)) {
            shim::fail("argument %zu: another type than the kernel's", place);
        }
        return std::is_same_v<P, double> ? static_cast<P>(arg.f64) : static_cast<P>(arg.u32);
    }
}

template <typename... P, std::size_t... I>
void launch(void (*kernel)(P...), shim::Dim grid, const std::vector<Arg> &args,
            std::index_sequence<I...>) {
    if (args.size() != sizeof...(P)) {
        shim::fail("%zu arguments, %zu parameters", args.size(), sizeof...(P));
    }
    const std::tuple<P...> parameters{parameter<P>(args[I], I)...};
    shim::run(grid, {THREADS_X, THREADS_Y}, [&] { std::apply(kernel, parameters); });
}

template <typename... P>
void launch(void (*kernel)(P...), shim::Dim grid, const std::vector<Arg> &args) {
    launch(kernel, grid, args, std::index_sequence_for<P...>{});
}

void dispatch(std::uint32_t kernel, shim::Dim grid, const std::vector<Arg> &args) {
    switch (kernel) {
    case 0: return launch(pairwise_sq_l2, grid, args);
    case 1: return launch(pair_sq_l2, grid, args);
    case 2: return launch(count_admissible, grid, args);
    case 3: return launch(pick_admissible, grid, args);
    case 4: return launch(closest_admissible, grid, args);
    case 5: return launch(hardest, grid, args);
    default: shim::fail("no kernel has number %u", kernel);
    }
}

void reply(const std::vector<Arg> &args) {
    for (const Arg &arg : args) {
        const std::size_t size = arg.before.size();
        if (arg.tag == OUT) std::fwrite(arg.data, 1, size, stdout);
        if (arg.tag == IN && size > 0 && std::memcmp(arg.data, arg.before.data(), size) != 0) {
            shim::fail("a kernel has written to what it only reads");
        }
    }
    std::fflush(stdout);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) shim::fail("usage: shim forward|reversed|shuffled SEED");
    const std::string order = argv[1];
    shim::set_order(order == "forward"    ? shim::Order::forward
                    : order == "reversed" ? shim::Order::reversed
                                          : shim::Order::shuffled,
                    std::strtoull(argv[2], nullptr, 10));
    std::uint32_t kernel;
    while (std::fread(&kernel, 1, sizeof kernel, stdin) == sizeof kernel) {
        shim::Dim grid;
        grid.x = read<std::uint32_t>();
        grid.y = read<std::uint32_t>();
        const std::vector<Arg> args = read_args();
        dispatch(kernel, grid, args);
        reply(args);
    }
    return 0;
}
