// Tells ThreadSanitizer what Swift's Mutex does where it cannot see it.
//
// `Mutex` takes and leaves an uncontended lock by an atomic operation that is compiled into its caller, where the
// sanitizer sees it. A contended one is taken and left inside libswiftSynchronization, which is not compiled with the
// sanitizer: without the two lines below, what one thread wrote under the lock and the next one reads under it is
// reported as a race. Nothing is suppressed: whatever happens outside of a lock is still reported.
//
// Loaded with LD_PRELOAD by scripts/test-sanitized. In programs without the sanitizer it does nothing.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// The calling convention of a Swift method: self is in a register of its own.
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "swift-mutex.c: %s is not there: another version of Swift has another Mutex.\n", name);
        abort();
    }
    return found;
}

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void lock_slow(uint32_t thread, SELF) {
    ((SWIFT void (*)(uint32_t, SELF))next(LOCK))(thread, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT bool try_lock_slow(SELF) __asm__(TRY);
SWIFT bool try_lock_slow(SELF) {
    bool taken = ((SWIFT bool (*)(SELF))next(TRY))(self);
    if (taken && __tsan_acquire) __tsan_acquire(self);
    return taken;
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF) {
    if (__tsan_release) __tsan_release(self);
    ((SWIFT void (*)(SELF))next(UNLOCK))(self);
}
