namespace Agent.Host;

/// <summary>Threads of the agent, each of which a machine may refuse.</summary>
internal static class Threads
{
    /// <summary>Starts one in the background.</summary>
    /// <param name="run">What it does.</param>
    /// <param name="stack">The size of its stack in bytes.</param>
    /// <param name="name">Its name, as ps and top show it.</param>
    /// <exception cref="ThreadLimitException">There may be no more of them.</exception>
    public static Thread Start(Action run, int stack, string name)
    {
        var thread = new Thread(() => run(), stack) { IsBackground = true, Name = name };
        Begin(thread);
        return thread;
    }

    /// <summary>Starts one that was made before.</summary>
    /// <exception cref="ThreadLimitException">There may be no more of them.</exception>
    public static void Begin(Thread thread)
    {
        try
        {
            thread.Start();
        }
        catch (Exception error) when (error is OutOfMemoryException or ThreadStartException)
        {
            // The class library calls every refusal of pthread_create(3) a lack of memory.
            throw new ThreadLimitException(error);
        }
    }
}

/// <summary>The machine permits no more threads.</summary>
internal sealed class ThreadLimitException(Exception cause) : Exception(
    "no thread can be started: a limit on processes and threads is reached (ulimit -u of this user, pids.max of the container, TasksMax= of the "
    + "unit), or there is no memory for one",
    cause);
