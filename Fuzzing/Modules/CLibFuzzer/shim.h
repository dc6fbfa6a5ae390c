#include <stddef.h>
#include <stdint.h>

// From libclang_rt.fuzzer_no_main: runs inputs until it is told to stop. The callback returns 0.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *bytes, size_t count));
