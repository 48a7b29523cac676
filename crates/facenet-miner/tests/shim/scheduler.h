// Runs a kernel's grid on fibers.
#pragma once

#include <cstdint>
#include <functional>

#include "cuda_shim.h"

namespace shim {

// In what order the threads of a block run from one barrier to the next. Where the order changes
// a result, a barrier is missing.
enum class Order { forward, reversed, shuffled };

// Prints `shim: ` and a message, and ends the program with status 3.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void set_order(Order order, std::uint64_t seed);

// Runs `kernel` once for every thread of every block.
void run(Dim grid, Dim block, const std::function<void()> &kernel);

} // namespace shim
