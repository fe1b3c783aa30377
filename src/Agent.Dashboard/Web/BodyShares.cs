using System.Net;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>
/// The memory for bodies that are still on their way, in bytes: no server and no address may hold more than a share of it, so that whoever
/// sends slowly, or says he will send much, keeps nobody else waiting. Safe for several threads.
/// </summary>
internal sealed class BodyShares
{
    /// <summary>For all bodies together.</summary>
    public const long All = 32 << 20;

    /// <summary>For those of one address, which may be that of a proxy or a router with many machines behind it.</summary>
    public const long OfAddress = 16 << 20;

    /// <summary>For those of one server.</summary>
    public const long OfServer = 4 << 20;

    private readonly Lock gate = new();
    private readonly Shares<string> servers = new(All, OfServer);
    private readonly Shares<IPAddress> addresses = new(All, OfAddress);

    /// <summary>Takes so many bytes; false where that is more than a share, or than there is.</summary>
    public bool TryTake(string server, IPAddress address, int bytes)
    {
        lock (gate)
        {
            if (!servers.TryTake(server, bytes))
            {
                return false;
            }

            if (addresses.TryTake(address, bytes))
            {
                return true;
            }

            servers.Return(server, bytes);
            return false;
        }
    }

    /// <summary>Gives them back.</summary>
    public void Return(string server, IPAddress address, int bytes)
    {
        lock (gate)
        {
            servers.Return(server, bytes);
            addresses.Return(address, bytes);
        }
    }
}
