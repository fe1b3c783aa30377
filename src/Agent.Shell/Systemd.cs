using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Agent.Shell;

/// <summary>
/// Talks to systemd over the datagram socket in $NOTIFY_SOCKET, as sd_notify(3) does; without that variable it does
/// nothing. Never waits: systemd's queue may be full, and the thread that samples must not hang on it.
/// </summary>
internal sealed class Systemd : IDisposable
{
    private readonly Socket? socket;
    private readonly UnixDomainSocketEndPoint? address;

    private Systemd(UnixDomainSocketEndPoint? address, TimeSpan? watchdog)
    {
        this.address = address;
        Watchdog = watchdog;

        if (address is not null)
        {
            socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { Blocking = false };
        }
    }

    /// <summary>True when something listens, as far as can be known.</summary>
    public bool IsListening => address is not null;

    /// <summary>systemd ends the agent if it hears nothing for this long; null if it does not watch.</summary>
    public TimeSpan? Watchdog { get; }

    /// <summary>What the environment says of a service manager.</summary>
    /// <param name="environment">The value of a variable, or null.</param>
    /// <param name="pid">This process, for it may have inherited variables that were meant for another.</param>
    public static Systemd Open(Func<string, string?> environment, int pid)
    {
        var address = AddressOf(environment("NOTIFY_SOCKET"));
        var watchdog = address is null ? null : WatchdogOf(environment("WATCHDOG_USEC"), environment("WATCHDOG_PID"), pid);
        return new Systemd(address, watchdog);
    }

    /// <summary>Sends one assignment such as READY=1. False if it could not be delivered.</summary>
    public bool Notify(string assignment)
    {
        if (socket is null || address is null)
        {
            return false;
        }

        try
        {
            socket.SendTo(Encoding.UTF8.GetBytes(assignment), address);
            return true;
        }
        catch (SocketException)
        {
            // A manager that is not there, or has no time: the next thing to say may reach it.
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => socket?.Dispose();

    private static UnixDomainSocketEndPoint? AddressOf(string? path)
    {
        if (path is not ['/' or '@', _, ..])
        {
            return null;
        }

        try
        {
            // The abstract name space has no file; its names begin with a zero byte, written as @.
            return new UnixDomainSocketEndPoint(path[0] == '@' ? "\0" + path[1..] : path);
        }
        catch (ArgumentOutOfRangeException)
        {
            // Longer than the kernel takes: nobody can listen there.
            return null;
        }
    }

    private static TimeSpan? WatchdogOf(string? microseconds, string? watched, int pid)
    {
        var isForUs = string.IsNullOrEmpty(watched)
            || watched == pid.ToString(CultureInfo.InvariantCulture);

        return isForUs
            && long.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number is > 0 and <= long.MaxValue / TimeSpan.TicksPerMicrosecond
                ? TimeSpan.FromTicks(number * TimeSpan.TicksPerMicrosecond)
                : null;
    }
}
