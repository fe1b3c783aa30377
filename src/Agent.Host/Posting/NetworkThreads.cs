using System.Net.Http;

namespace Agent.Host.Posting;

/// <summary>Threads for what blocks on the network.</summary>
internal static class NetworkThreads
{
    /// <summary>Starts one; a machine that permits no more of them is a failure of the request that needs it.</summary>
    public static void Start(Action run, int stackSize, string name)
    {
        try
        {
            Threads.Start(run, stackSize, name);
        }
        catch (ThreadLimitException error)
        {
            throw new HttpRequestException(error.Message, error);
        }
    }
}
