// epoll(7), which Swift's Glibc does not have.
#include <sys/epoll.h>
