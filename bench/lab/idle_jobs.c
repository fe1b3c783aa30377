/* Jobs that do next to nothing, for what the agent pays to watch them: idle_jobs COUNT.
   Each is a process with 84 threads and 16 children: 17 processes and 100 threads. Tells the numbers of the main
   processes, one line for each, and stays until its standard input ends. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN = 16, THREADS = 84 };

static void *rest(void *unused)
{
    struct timespec second = {1, 0};
    for (;;)
        nanosleep(&second, NULL);
    return unused;
}

static void run(void)
{
    /* Whoever started it is gone when the kernel says so. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rest(NULL);
}

static void job(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    for (int i = 0; i < CHILDREN; i++)
        if (fork() == 0)
            run();
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    for (int i = 1; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, rest, NULL) != 0)
            exit(1);
    }
    rest(NULL);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1;
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0)
            job();
        printf("%d\n", (int)pid);
    }
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0; /* The jobs end with it. */
}
