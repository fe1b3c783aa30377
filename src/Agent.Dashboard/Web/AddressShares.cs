using System.Net;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Something of which no address may hold more than a share. Safe for several threads.</summary>
internal sealed class AddressShares(long most, long share)
{
    private readonly Lock gate = new();
    private readonly Shares<IPAddress> shares = new(most, share);

    /// <summary>How much is held by all.</summary>
    public long All
    {
        get
        {
            lock (gate)
            {
                return shares.All;
            }
        }
    }

    /// <summary>Whom an address belongs to; a connection without one is nobody's.</summary>
    public static IPAddress Owner(IPAddress? address) => Forwarding.Owner(address ?? IPAddress.None);

    /// <summary>Takes this amount for an owner; false if that is more than its share, or than is left.</summary>
    public bool TryTake(IPAddress owner, long amount = 1)
    {
        lock (gate)
        {
            return shares.TryTake(owner, amount);
        }
    }

    /// <summary>Gives it back.</summary>
    public void Return(IPAddress owner, long amount = 1)
    {
        lock (gate)
        {
            shares.Return(owner, amount);
        }
    }
}
