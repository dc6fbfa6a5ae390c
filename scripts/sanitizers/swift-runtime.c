// Tells ThreadSanitizer what Swift's runtime does where it cannot see it. Nothing is suppressed: what neither a lock nor
// a continuation puts in order is still reported.
//
// `Mutex` takes and leaves an uncontended lock by an atomic operation that is compiled into its caller, where the
// sanitizer sees it. A contended one is taken and left inside libswiftSynchronization, which is not compiled with the
// sanitizer: without what is here, what one thread wrote under the lock and the next one reads under it is reported as
// a race.
//
// A continuation's `resume` tells the sanitizer that its thread lets go of the task, and where a suspended task is run
// again the runtime tells that it is taken over. Nothing tells that where the task was not suspended yet and goes on at
// once: without what is here, what is passed through such a continuation is reported as a race.
//
// Loaded with LD_PRELOAD by scripts/test-sanitized. In programs without the sanitizer it does nothing.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// The calling convention of a Swift method: self is in a register of its own.
#define SWIFT __attribute__((swiftcall))
#define ASYNC __attribute__((swiftasynccall))
#define SELF __attribute__((swift_context)) void *self

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));
extern SWIFT void *swift_task_getCurrent(void) __attribute__((weak));

// What this library stands before, looked up once.
static void *next(const char *name, _Atomic(void *) *known) {
    void *found = atomic_load_explicit(known, memory_order_relaxed);
    if (found) return found;
    found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "swift-runtime.c: %s is not there: another version of Swift does this otherwise.\n", name);
        abort();
    }
    atomic_store_explicit(known, found, memory_order_relaxed);
    return found;
}

#define NEXT(name) ({ static _Atomic(void *) known; next(name, &known); })

// Mutex

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void lock_slow(uint32_t thread, SELF) {
    ((SWIFT void (*)(uint32_t, SELF))NEXT(LOCK))(thread, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT bool try_lock_slow(SELF) __asm__(TRY);
SWIFT bool try_lock_slow(SELF) {
    bool taken = ((SWIFT bool (*)(SELF))NEXT(TRY))(self);
    if (taken && __tsan_acquire) __tsan_acquire(self);
    return taken;
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF) {
    if (__tsan_release) __tsan_release(self);
    ((SWIFT void (*)(SELF))NEXT(UNLOCK))(self);
}

// Continuations: `resume` releases the task itself, so whoever goes on as this task acquires it.

static void acquire_task(void) {
    if (!__tsan_acquire || !swift_task_getCurrent) return;
    void *task = swift_task_getCurrent();
    if (task) __tsan_acquire(task);
}

// Where the runtime goes on after it was about to suspend the task.
SWIFT void swift_task_enterThreadLocalContext(char *state) {
    ((SWIFT void (*)(char *))NEXT("swift_task_enterThreadLocalContext"))(state);
    acquire_task();
}

// Where it does not come as far, and the wait is written into the function that waits.
ASYNC void swift_continuation_await(void *context) {
    acquire_task();
    __attribute__((musttail)) return ((ASYNC void (*)(void *))NEXT("swift_continuation_await"))(context);
}

// The same with the wait in a library: what an asynchronous function does first when one that it called has returned.
SWIFT void swift_task_dealloc(void *pointer) {
    ((SWIFT void (*)(void *))NEXT("swift_task_dealloc"))(pointer);
    acquire_task();
}
