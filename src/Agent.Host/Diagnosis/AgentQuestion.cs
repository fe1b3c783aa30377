using System.Net;
using System.Net.Sockets;
using System.Text;
using Agent.Core;
using Agent.Sender;
using Agent.Host.Posting;
using Agent.Host.Service;

namespace Agent.Host.Diagnosing;

/// <summary>
/// Asks the agent that runs on this machine, and prints its answer: what the GPU time of a job went into, whose whole life only it has seen, or
/// whether it takes samples.
/// </summary>
internal sealed class AgentQuestion(Settings settings, CommandLineProgram program)
{
    /// <summary>No report is longer.</summary>
    private const int LongestAnswer = 64 * 1024;

    /// <summary>For each step of the connection; the agent is on this machine.</summary>
    private const int PatienceMilliseconds = 5000;

    /// <summary>Asks and prints; the exit code.</summary>
    public int Run()
    {
        var token = "";

        if (settings.ListenToken is { IsSome: true, Value: var origin })
        {
            var opened = TokenSource.Open(origin);

            if (opened.IsError)
            {
                return program.Fail(opened.ErrorValue.Message);
            }

            token = opened.ResultValue.Current.Reveal();
        }

        var address = Own(settings.Listen.Value);

        try
        {
            return Told(Ask(address, token), address);
        }
        catch (SocketException error)
        {
            return program.Fail(
                $"no agent answers at {address}: {error.Message}; start it with --listen {settings.Listen.Value}, or name the address of the one that runs");
        }
    }

    /// <summary>Where this machine reaches an agent that listens on all addresses.</summary>
    private static IPEndPoint Own(IPEndPoint listen) =>
        listen.Address.Equals(IPAddress.Any) ? new IPEndPoint(IPAddress.Loopback, listen.Port)
        : listen.Address.Equals(IPAddress.IPv6Any) ? new IPEndPoint(IPAddress.IPv6Loopback, listen.Port)
        : listen;

    private string Ask(IPEndPoint address, string token)
    {
        using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
        {
            ReceiveTimeout = PatienceMilliseconds,
            SendTimeout = PatienceMilliseconds,
        };

        socket.Connect(address);
        var authorization = token.Length > 0 ? $"Authorization: Bearer {token}\r\n" : "";
        var path = settings.Health ? Scrape.HealthPath : Scrape.JobPath(settings.WhyJob, settings.Json);
        socket.Send(Encoding.ASCII.GetBytes(
            $"GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n"));

        var answer = new byte[LongestAnswer];
        var length = 0;

        while (length < answer.Length && socket.Receive(answer.AsSpan(length)) is var count and > 0)
        {
            length += count;
        }

        return Encoding.UTF8.GetString(answer, 0, length);
    }

    private int Told(string answer, IPEndPoint address)
    {
        var end = answer.IndexOf("\r\n\r\n", StringComparison.Ordinal);

        if (end < 0 || !answer.StartsWith("HTTP/1.1 ", StringComparison.Ordinal))
        {
            return program.Fail($"what answers at {address} is not ai-dashboard-agent");
        }

        var body = answer[(end + 4)..];

        return answer.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal)
            ? program.Print(string.Concat(body.TrimEnd('\n').Split('\n').Select(static line => Log.OneLine(line) + "\n")))
            : program.Fail($"the agent at {address} says: {Log.OneLine(body.TrimEnd('\n'))}");
    }
}
