// Fibers, and the order in which they run.
#include "scheduler.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <vector>

#include "fiber.h"

// Where the linker has put the shared memory of all kernels.
extern "C" char __start_cuda_shared[], __stop_cuda_shared[];

namespace shim {

Dim thread, block, block_size, grid_size;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t STACK = 256 * 1024; // every array of a frame has its red zones
#else
constexpr std::size_t STACK = 32 * 1024;
#endif

struct Fiber {
    Context context;
    std::unique_ptr<char[]> stack;
    Dim index;
    const char *file; // of the barrier that it waits at
    int line;
    bool has_returned;
};

std::vector<Fiber> fibers;
std::vector<std::size_t> sequence;
std::size_t running;
Context scheduler;
const std::function<void()> *kernel;
Order order = Order::forward;
std::uint64_t random_state = 1;

// xorshift64*
std::uint64_t next_random() {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

void arrange() {
    for (std::size_t last = sequence.size(); order == Order::shuffled && last > 1; --last) {
        std::swap(sequence[last - 1], sequence[next_random() % last]);
    }
}

void enter() {
    (*kernel)();
    fibers[running].has_returned = true;
    change(fibers[running].context, scheduler);
    fail("a thread that had returned went on");
}

// Byte by byte, past AddressSanitizer: the red zones between arrays are spoilt with them.
__attribute__((no_sanitize("address"), noinline)) void spoil_shared_memory() {
    for (volatile char *at = __start_cuda_shared; at < __stop_cuda_shared; ++at) *at = '\xff';
}

void resume(std::size_t fiber) {
    running = fiber;
    thread = fibers[fiber].index;
    change(scheduler, fibers[fiber].context);
}

// All have returned, or all wait at one barrier.
bool agree() {
    const Fiber &first = fibers[0];
    for (const Fiber &fiber : fibers) {
        if (fiber.has_returned != first.has_returned) {
            const Fiber &waiting = fiber.has_returned ? first : fiber;
            const Fiber &gone = fiber.has_returned ? fiber : first;
            fail("divergent barrier: thread (%u, %u) of block (%u, %u) has returned, (%u, %u) "
                 "waits at %s:%d", gone.index.x, gone.index.y, block.x, block.y, waiting.index.x,
                 waiting.index.y, waiting.file, waiting.line);
        }
        if (!fiber.has_returned && (fiber.line != first.line || fiber.file != first.file)) {
            fail("divergent barrier: in block (%u, %u) thread (%u, %u) waits at %s:%d, "
                 "(%u, %u) at %s:%d", block.x, block.y, first.index.x, first.index.y, first.file,
                 first.line, fiber.index.x, fiber.index.y, fiber.file, fiber.line);
        }
    }
    return first.has_returned;
}

void run_block() {
    spoil_shared_memory();
    for (Fiber &fiber : fibers) {
        fiber.context = start(fiber.stack.get(), STACK, enter);
        fiber.has_returned = false;
    }
    do {
        arrange();
        for (const std::size_t fiber : sequence) resume(fiber);
    } while (!agree());
}

void make_fibers(Dim size) {
    fibers.resize(size.x * size.y);
    for (std::size_t i = 0; i < fibers.size(); ++i) {
        if (!fibers[i].stack) fibers[i].stack = std::make_unique<char[]>(STACK);
        fibers[i].index = {static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x)};
    }
    sequence.resize(fibers.size());
    std::iota(sequence.begin(), sequence.end(), std::size_t{0});
    if (order == Order::reversed) std::reverse(sequence.begin(), sequence.end());
}

} // namespace

void fail(const char *format, ...) {
    std::fputs("shim: ", stderr);
    va_list rest;
    va_start(rest, format);
    std::vfprintf(stderr, format, rest);
    va_end(rest);
    std::fputc('\n', stderr);
    std::fflush(stderr);
    std::_Exit(3);
}

void set_order(Order wanted, std::uint64_t seed) {
    order = wanted;
    random_state = seed | 1;
}

void barrier(const char *file, int line) {
    Fiber &fiber = fibers[running];
    fiber.file = file;
    fiber.line = line;
    change(fiber.context, scheduler);
}

void run(Dim grid, Dim size, const std::function<void()> &body) {
    kernel = &body;
    grid_size = grid;
    block_size = size;
    make_fibers(size);
    for (block.y = 0; block.y < grid.y; ++block.y) {
        for (block.x = 0; block.x < grid.x; ++block.x) run_block();
    }
}

} // namespace shim
