namespace Agent.Host.Reading;

/// <summary>
/// Threads of sources. An exception that nobody foresaw ends the thread that it came from, and so costs that source; it is handed to
/// whoever logs defects, and the agent goes on.
/// </summary>
internal static class Guard
{
    /// <summary>Starts a thread in the background.</summary>
    /// <param name="name">Its name, which is the source's.</param>
    /// <param name="stack">The size of its stack in bytes.</param>
    /// <param name="body">What it does.</param>
    /// <param name="onDefect">Takes what <paramref name="body"/> throws; without it such a defect ends the program.</param>
    public static void Start(string name, int stack, Action body, Action<string, Exception>? onDefect) =>
        Threads.Start(
            () =>
            {
                try
                {
                    body();
                }
                catch (Exception defect) when (onDefect is not null)
                {
                    onDefect(name, defect);
                }
            },
            stack,
            name);
}
