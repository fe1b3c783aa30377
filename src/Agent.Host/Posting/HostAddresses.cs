using System.Net;
using System.Net.Sockets;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>Asks the resolver for a host's addresses of one family. Blocks, and may throw.</summary>
internal delegate IPAddress[] LookUp(string host, AddressFamily family);

/// <summary>
/// The addresses of one host: asks for them again for each connection, each family by itself so that one whose name server does
/// not answer costs the other nothing, and remembers which of them are good. Everything but <see cref="Gate"/> is used under that.
/// </summary>
/// <param name="host">A name, or an address.</param>
/// <param name="lookUp">The resolver.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class HostAddresses(string host, LookUp lookUp, AgentClock clock)
{
    /// <summary>
    /// A look-up cannot be broken off. One that takes longer than resolv.conf(5) lets any take is left to itself, and another is
    /// begun beside it.
    /// </summary>
    public static readonly TimeSpan LongestLookUp = TimeSpan.FromMinutes(1);

    /// <summary>Look-ups of one family that may be left to themselves.</summary>
    public const int MostLookUps = 4;

    /// <summary>What modules of the name service switch may need.</summary>
    private const int StackSize = 512 * 1024;

    /// <summary>Addresses that are remembered as bad.</summary>
    private const int MostFailed = 64;

    private readonly List<Asked> asked = [];
    private readonly List<IPAddress> failed = [];
    private readonly IPAddress[]? literal = IPAddress.TryParse(host, out var address) ? [Plain(address)] : null;
    private IPAddress? winner;

    /// <summary>Pulsed when an answer comes; shared with the openings that use the addresses.</summary>
    public object Gate { get; } = new();

    /// <summary>Begins to ask, unless the answer is on its way already.</summary>
    public void Ask()
    {
        if (literal is not null)
        {
            return;
        }

        asked.RemoveAll(static look => look.IsOver);

        // The family that is asked first is tried first where all else is equal.
        foreach (var family in (AddressFamily[])[AddressFamily.InterNetworkV6, AddressFamily.InterNetwork])
        {
            var under = asked.FindAll(look => look.Family == family);

            if (under.Count == 0 || (under.Count < MostLookUps && clock.Elapsed - under[^1].Begun >= LongestLookUp))
            {
                var begun = new Asked(family, clock.Elapsed);
                NetworkThreads.Start(() => Answer(begun), StackSize, "resolving");
                asked.Add(begun);
            }
        }
    }

    /// <summary>
    /// Asks, and waits for the answers; once there are addresses of one family, no longer than <paramref name="grace"/> for the other's.
    /// Takes the gate itself.
    /// </summary>
    public IPAddress[] Resolve(TimeSpan grace)
    {
        lock (Gate)
        {
            Ask();
            var until = TimeSpan.MaxValue;

            while (!IsComplete && clock.Elapsed < until)
            {
                clock.Wait(Gate, until == TimeSpan.MaxValue ? Timeout.InfiniteTimeSpan : until - clock.Elapsed);

                if (until == TimeSpan.MaxValue && Known() is not [])
                {
                    until = clock.Elapsed + grace;
                }
            }

            return Known();
        }
    }

    /// <summary>Those that are known by now, in the order in which they should be tried.</summary>
    public IPAddress[] Known() => HappyEyeballs.Order(
        winner,
        [.. failed],
        literal ?? [.. from look in asked where look.IsOver orderby look.Family descending from address in look.Found select address]);

    /// <summary>True once no more are to be expected.</summary>
    public bool IsComplete => literal is not null
        || asked.Where(static look => look.IsOver).Select(static look => look.Family).Distinct().Count() == 2;

    /// <summary>Why there are none.</summary>
    public Exception? Problem => asked.FirstOrDefault(static look => look.Error is not null)?.Error;

    /// <summary>The address took a connection.</summary>
    public void Won(IPAddress address) => winner = address;

    /// <summary>The address gave an answer.</summary>
    public void Answered(IPAddress address) => failed.Remove(address);

    /// <summary>The address took no connection, or one that yielded no answer.</summary>
    public void Failed(IPAddress address)
    {
        failed.Remove(address);
        failed.Add(address);

        if (failed.Count > MostFailed)
        {
            failed.RemoveAt(0);
        }

        if (address.Equals(winner))
        {
            winner = null;
        }
    }

    /// <summary>An address of IPv4 that is written as one of IPv6 (RFC 4291, 2.5.5.2) is not reached over IPv6.</summary>
    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    private void Answer(Asked look)
    {
        IPAddress[] found = [];
        Exception? error = null;

        try
        {
            found = Array.ConvertAll(lookUp(host, look.Family), Plain);
        }
        catch (Exception problem)
        {
            // Whatever it is, on a thread of its own it would end the process.
            error = problem;
        }

        lock (Gate)
        {
            (look.Found, look.Error, look.IsOver) = (found, error, true);
            Monitor.PulseAll(Gate);
        }
    }

    private sealed class Asked(AddressFamily family, TimeSpan begun)
    {
        public AddressFamily Family { get; } = family;

        public TimeSpan Begun { get; } = begun;

        public IPAddress[] Found { get; set; } = [];

        public Exception? Error { get; set; }

        public bool IsOver { get; set; }
    }
}
