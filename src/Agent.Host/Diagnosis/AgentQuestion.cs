using System.Net;
using System.Net.Sockets;
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

        var agent = new RunningAgent(settings.Listen.Value);

        try
        {
            return Told(agent.Ask(settings.Health ? Scrape.HealthPath : Scrape.JobPath(settings.WhyJob, settings.Json), token), agent.Address);
        }
        catch (SocketException error)
        {
            return program.Fail(
                $"no agent answers at {agent.Address}: {error.Message}; start it with --listen {settings.Listen.Value}, or name the address of the running one");
        }
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
            ? program.Print(string.Concat(body.TrimEnd('\n').Split('\n').Select(static line => TerminalText.OneLine(line) + "\n")))
            : program.Fail($"the agent at {address} says: {body.TrimEnd('\n')}");
    }
}
