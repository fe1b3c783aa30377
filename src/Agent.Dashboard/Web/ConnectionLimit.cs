using System.Net;
using Agent.Receiver;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Agent.Dashboard.Web;

/// <summary>
/// Closes connections of an address that has its share already. A trusted proxy has no share: its connections are those of many clients.
/// </summary>
internal sealed class ConnectionLimit(int ofAddress, IPNetwork[] trustedProxies)
{
    /// <summary>Connections of all addresses together.</summary>
    public const int All = 4096;

    private readonly AddressShares shares = new(All, ofAddress);

    /// <summary>Makes a listener keep to it.</summary>
    public void On(ListenOptions listen) => listen.Use(next => connection => Handle(connection, next));

    private async Task Handle(ConnectionContext connection, ConnectionDelegate next)
    {
        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address;

        if (address is not null && Forwarding.IsTrusted(trustedProxies, address))
        {
            await next(connection);
            return;
        }

        var owner = AddressShares.Owner(address);

        if (!shares.TryTake(owner))
        {
            connection.Abort(new ConnectionAbortedException("too many connections from one address"));
            return;
        }

        try
        {
            await next(connection);
        }
        finally
        {
            shares.Return(owner);
        }
    }
}
