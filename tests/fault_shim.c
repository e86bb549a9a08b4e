/* Counts what a process writes below one folder, and makes the n-th of it fail.

   Preloaded, so that it sits between libc and everybody who writes: Python, SQLite, FAISS.
   Armed from Python (ctypes) in a forked child, so that one process can try all points in turn. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT = 0, EIO_ONCE = 1, FULL = 2, KILL_BEFORE = 3, KILL_MIDWAY = 4, EIO_ALWAYS = 5 };

static char root[4096];
static long at;
static int kind;
static atomic_long seen;

void fault_arm(const char *folder, long n, int how)
{
    at = n;
    kind = how;
    atomic_store(&seen, 0);
    strncpy(root, folder, sizeof root - 1);
}

long fault_seen(void) { return atomic_load(&seen); }

static int below(const char *path) { return *root && !strncmp(path, root, strlen(root)); }

static int ours(int fd)
{
    char link[64], path[4096];
    if (!*root)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return below(path);
}

/* Returns 0 to go on, an errno to fail with, or -1 to do half of it and die. */
static int verdict(int needs_room)
{
    long n = atomic_fetch_add(&seen, 1) + 1;
    if (kind == COUNT || n < at)
        return 0;
    if (kind == FULL)
        return needs_room ? ENOSPC : 0;
    if (kind == EIO_ALWAYS)
        return EIO;
    if (n != at)
        return 0;
    if (kind == EIO_ONCE)
        return EIO;
    if (kind == KILL_BEFORE)
        kill(getpid(), SIGKILL);
    return -1;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) \
        real = dlsym(RTLD_NEXT, #name)

#define GUARDED(mine, needs_room, whole, half) \
    do { \
        if (mine) { \
            int v = verdict(needs_room); \
            if (v > 0) { \
                errno = v; \
                return -1; \
            } \
            if (v < 0) { \
                (void)!(half); \
                kill(getpid(), SIGKILL); \
            } \
        } \
        return whole; \
    } while (0)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    GUARDED(ours(fd), 1, real(fd, data, size), real(fd, data, size / 2));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t where)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    GUARDED(ours(fd), 1, real(fd, data, size, where), real(fd, data, size / 2, where));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t where)
{
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    GUARDED(ours(fd), 1, real(fd, data, size, where), real(fd, data, size / 2, where));
}

int ftruncate(int fd, off_t size)
{
    REAL(int, ftruncate, int, off_t);
    GUARDED(ours(fd), size > 0, real(fd, size), real(fd, size));
}

int ftruncate64(int fd, off64_t size)
{
    REAL(int, ftruncate64, int, off64_t);
    GUARDED(ours(fd), size > 0, real(fd, size), real(fd, size));
}

int fsync(int fd)
{
    REAL(int, fsync, int);
    GUARDED(ours(fd), 0, real(fd), real(fd));
}

int fdatasync(int fd)
{
    REAL(int, fdatasync, int);
    GUARDED(ours(fd), 0, real(fd), real(fd));
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *);
    GUARDED(below(from) || below(to), 0, real(from, to), real(from, to));
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    GUARDED(below(path), 0, real(path), real(path));
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, const char *, mode_t);
    GUARDED(below(path), 1, real(path, mode), real(path, mode));
}
