/* Writes the monotonic clock (nanoseconds, decimal) into a file and becomes another program: the instant of its exec,
   without what it costs the measuring program to start one. It does not outlive the program that started it.

   exec_at FILE PROGRAM [ARGUMENT...] */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: exec_at FILE PROGRAM [ARGUMENT...]\n");
    return 2;
  }

  int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  if (file < 0) {
    perror(argv[1]);
    return 1;
  }

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  dprintf(file, "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 1;
}
