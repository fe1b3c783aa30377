using System.Net.Http;

namespace Agent.Host.Posting;

/// <summary>Threads for what blocks on the network.</summary>
internal static class Threads
{
    /// <summary>Starts one; a machine that permits no more of them is a failure of the request that needs it.</summary>
    public static void Start(Action run, int stackSize, string name)
    {
        try
        {
            new Thread(() => run(), stackSize) { IsBackground = true, Name = name }.Start();
        }
        catch (OutOfMemoryException error)
        {
            // So the class library says it.
            throw new HttpRequestException("this machine permits no more threads", error);
        }
    }
}
