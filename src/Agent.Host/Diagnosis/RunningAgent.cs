using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Agent.Host.Diagnosing;

/// <summary>The agent that may be running on this machine, asked at the address at which it serves metrics.</summary>
/// <param name="listen">The value of its --listen.</param>
internal sealed class RunningAgent(IPEndPoint listen)
{
    /// <summary>No report is longer.</summary>
    private const int LongestAnswer = 64 * 1024;

    /// <summary>For each step of the connection; the agent is on this machine.</summary>
    private const int PatienceMilliseconds = 5000;

    /// <summary>Where it is reached from this machine, also if it listens on all addresses.</summary>
    public IPEndPoint Address { get; } =
        listen.Address.Equals(IPAddress.Any) ? new IPEndPoint(IPAddress.Loopback, listen.Port)
        : listen.Address.Equals(IPAddress.IPv6Any) ? new IPEndPoint(IPAddress.IPv6Loopback, listen.Port)
        : listen;

    /// <summary>
    /// The whole answer to a GET, head and body, or as much of it as a report is long. Throws <see cref="SocketException"/> where nobody answers
    /// within five seconds.
    /// </summary>
    /// <param name="path">What is asked for.</param>
    /// <param name="token">The bearer token to show; empty for none.</param>
    public string Ask(string path, string token)
    {
        using var socket = new Socket(Address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
        {
            ReceiveTimeout = PatienceMilliseconds,
            SendTimeout = PatienceMilliseconds,
        };

        socket.Connect(Address);
        var authorization = token.Length > 0 ? $"Authorization: Bearer {token}\r\n" : "";
        socket.Send(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {Address}\r\n{authorization}Connection: close\r\n\r\n"));

        var answer = new byte[LongestAnswer];
        var length = 0;

        while (length < answer.Length && socket.Receive(answer.AsSpan(length)) is var count and > 0)
        {
            length += count;
        }

        return Encoding.UTF8.GetString(answer, 0, length);
    }
}
