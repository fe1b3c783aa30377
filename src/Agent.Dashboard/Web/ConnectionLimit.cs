using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Agent.Dashboard.Web;

/// <summary>Closes connections of an address that has as many as it may have.</summary>
internal sealed class ConnectionLimit(int ofAddress)
{
    /// <summary>Connections of all addresses together.</summary>
    public const int All = 4096;

    private readonly AddressShares shares = new(All, ofAddress);

    /// <summary>Makes a listener keep to it.</summary>
    public void On(ListenOptions listen) => listen.Use(next => connection => Handle(connection, next));

    private async Task Handle(ConnectionContext connection, ConnectionDelegate next)
    {
        var owner = AddressShares.Owner((connection.RemoteEndPoint as IPEndPoint)?.Address);

        if (!shares.TryTake(owner))
        {
            connection.Abort(new ConnectionAbortedException("too many connections of one address"));
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
