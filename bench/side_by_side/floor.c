/* The floor: what the kernel charges for the reads alone. Opens the files once and reads each from its beginning to its
   end at every sample, as the agent does, and throws away what it read. A directory is asked for its link count.

   floor SAMPLES INTERVAL_MS FILE...   SAMPLES 0: until it is killed; INTERVAL_MS 0: back to back */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static int is_directory(int file) {
  struct stat status;
  return fstat(file, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A kernel file may hand itself out in pieces; only a read of nothing is its end. */
static void read_whole(int file, const char *path) {
  off_t at = 0;
  ssize_t count;

  while ((count = pread(file, buffer, sizeof buffer, at)) > 0)
    at += count;

  if (count < 0) {
    fprintf(stderr, "floor: %s: %s\n", path, strerror(errno));
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: floor SAMPLES INTERVAL_MS FILE...\n");
    return 2;
  }

  long samples = strtol(argv[1], NULL, 10);
  long interval_ms = strtol(argv[2], NULL, 10);
  int count = argc - 3;
  char **paths = argv + 3;
  int files[count];

  for (int i = 0; i < count; i++) {
    int file = open(paths[i], O_RDONLY | O_CLOEXEC);

    if (file < 0) {
      fprintf(stderr, "floor: %s: %s\n", paths[i], strerror(errno));
      return 1;
    }

    files[i] = is_directory(file) ? -1 - file : file;
  }

  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);

  for (long sample = 0; samples == 0 || sample < samples; sample++) {
    for (int i = 0; i < count; i++) {
      struct statx status;

      if (files[i] >= 0)
        read_whole(files[i], paths[i]);
      else
        statx(AT_FDCWD, paths[i], 0, STATX_NLINK, &status);
    }

    if (interval_ms > 0) {
      next.tv_sec += interval_ms / 1000;
      next.tv_nsec += interval_ms % 1000 * 1000000;

      if (next.tv_nsec >= 1000000000) {
        next.tv_nsec -= 1000000000;
        next.tv_sec++;
      }

      while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
        ;
    }
  }

  return 0;
}
