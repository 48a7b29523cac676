// Stackful coroutines: a switch saves what a call must preserve, and swaps the stack pointer.
// A system call a switch, as ucontext makes, would be most of the time of a test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace shim {

#if defined(__x86_64__) || defined(__aarch64__)

struct Context {
    void *stack_pointer;
};

// Saves the caller's registers on its stack and its stack pointer in `from`; goes on with `to`.
extern "C" void shim_switch(Context *from, const Context *to);

#if defined(__x86_64__)
// System V: rbx, rbp, r12 to r15 belong to the caller.
asm(R"(
.text
.globl shim_switch
.type shim_switch, @function
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size shim_switch, .-shim_switch
)");

// Six registers, the address to return to, and what that function believes to be its own.
inline Context start(char *stack, std::size_t size, void (*entry)()) {
    std::uintptr_t top = (reinterpret_cast<std::uintptr_t>(stack) + size) & ~std::uintptr_t{15};
    void **frame = reinterpret_cast<void **>(top) - 8;
    std::memset(frame, 0, 8 * sizeof *frame);
    frame[6] = reinterpret_cast<void *>(entry);
    return {frame};
}
#else
// AAPCS64: x19 to x29, the link register, and the low halves of v8 to v15.
asm(R"(
.text
.globl shim_switch
.type shim_switch, %function
shim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    ldr x9, [x1]
    mov sp, x9
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size shim_switch, .-shim_switch
)");

inline Context start(char *stack, std::size_t size, void (*entry)()) {
    std::uintptr_t top = (reinterpret_cast<std::uintptr_t>(stack) + size) & ~std::uintptr_t{15};
    void **frame = reinterpret_cast<void **>(top) - 20;
    std::memset(frame, 0, 20 * sizeof *frame);
    frame[11] = reinterpret_cast<void *>(entry);
    return {frame};
}
#endif

inline void change(Context &from, const Context &to) { shim_switch(&from, &to); }

#else

struct Context {
    ucontext_t state;
};

inline Context start(char *stack, std::size_t size, void (*entry)()) {
    Context context;
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = stack;
    context.state.uc_stack.ss_size = size;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
    return context;
}

inline void change(Context &from, const Context &to) { swapcontext(&from.state, &to.state); }

#endif

} // namespace shim
