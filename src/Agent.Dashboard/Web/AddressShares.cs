using System.Net;
using System.Net.Sockets;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Something of which no address may hold more than a share. Safe for several threads.</summary>
internal sealed class AddressShares(long most, long share)
{
    private const int PrefixBytes = 8;

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

    /// <summary>
    /// Whom an address belongs to: of IPv6 whoever has the network of 64 bits, who can take any address in it. IPv4 may come as IPv6.
    /// </summary>
    public static IPAddress Owner(IPAddress? address)
    {
        if (address is null)
        {
            return IPAddress.None;
        }

        if (address.AddressFamily != AddressFamily.InterNetworkV6)
        {
            return address;
        }

        if (address.IsIPv4MappedToIPv6)
        {
            return address.MapToIPv4();
        }

        var bytes = address.GetAddressBytes();
        Array.Clear(bytes, PrefixBytes, bytes.Length - PrefixBytes);
        return new IPAddress(bytes);
    }

    /// <summary>Takes so much for an owner; false where that is more than a share, or than there is.</summary>
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
