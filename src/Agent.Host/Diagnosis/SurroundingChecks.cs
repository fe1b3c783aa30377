using System.Net;
using System.Net.Sockets;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Exporting;
using Agent.Host.Posting;
using Agent.Host.Reading;
using Microsoft.FSharp.Core;

namespace Agent.Host.Diagnosing;

/// <summary>The spool's directory and the container that the agent may be in.</summary>
internal sealed class SurroundingChecks(Settings settings, AgentClock clock)
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    private static readonly string[] ContainerFiles = ["/.dockerenv", "/run/.containerenv"];

    private static readonly string[] ContainerVariables = ["container", "KUBERNETES_SERVICE_HOST"];

    /// <summary>Whether undelivered samples of a stream can be kept.</summary>
    public Row Spool(string stream)
    {
        var reading = new Reading<SpoolFact>("spool", clock, () => Look(stream));
        var late = Fact($"no answer within {Limit.TotalSeconds:0.#} s", default, 0, false, 0);
        var fact = reading.Wait(Limit, late);
        var row = DoctorRow.Timed(reading.Duration, Diagnosis.SpoolDirectory(fact));
        return stream == "ingest" ? row : DoctorRow.Named($"{stream} spool", row);
    }

    /// <summary>Whether metrics can be served where --listen says; nothing without it.</summary>
    public IEnumerable<Row> Listening()
    {
        if (settings.Listen.IsNone)
        {
            yield break;
        }

        var token = "";

        if (settings.ListenToken is { IsSome: true, Value: var origin })
        {
            var opened = TokenSource.Open(origin);
            token = opened.Match(static token => token.Current.Reveal(), static _ => "");
            yield return Diagnosis.ListenToken(opened.Select(static token => token.Warning));
        }

        var address = settings.Listen.Value;
        var problem = MetricsEndpoint.Open(address, clock).Match(
            static endpoint =>
            {
                endpoint.Dispose();
                return "";
            },
            static error => error.Message);

        var reading = new Reading<bool>("listen", clock, () => problem.Length > 0 && IsAgents(address, token));
        yield return Diagnosis.Listening(address.ToString(), problem, reading.Wait(Limit, false));
    }

    private static bool IsAgents(IPEndPoint address, string token)
    {
        try
        {
            return Scrape.IsAgents(new RunningAgent(address).Ask(Scrape.UnknownPath, token));
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Whether the agent sees the machine.</summary>
    public Row Container()
    {
        var buffer = new ReadBuffer();
        var groups =
            from path in (string[])["/proc/self/cgroup", "/proc/1/cgroup"]
            select KernelFiles.ReadText(path, buffer).Content.Match(
                static text => System.Text.Encoding.UTF8.GetString(text.Span),
                static _ => "");

        string[] marks =
        [
            .. ContainerFiles.Where(File.Exists),
            .. ContainerVariables.Where(static name => Environment.GetEnvironmentVariable(name) is { Length: > 0 }).Select(static name => "$" + name),
        ];

        // Under hidepid a process sees itself and not the first.
        var seesFirst = Directory.Exists(Path.Join(settings.ProcFs, "1")) || !Directory.Exists(Path.Join(settings.ProcFs, "self"));
        return Diagnosis.Container(new ContainerFact(string.Concat(groups), marks, settings.ProcFs != "/proc", seesFirst));
    }

    private SpoolFact Fact(string problem, FSharpValueOption<ulong> free, ulong backlog, bool inUse, int others) =>
        new(settings.Spool, problem, free, settings.SpoolLimit, backlog, inUse, others);

    private SpoolFact Look(string name)
    {
        if (settings.Spool.Length == 0)
        {
            return Fact("", default, 0, false, 0);
        }

        // As the agent lays it out: one directory for each destination.
        var stream = Path.Join(settings.Spool, name);

        try
        {
            var place = Existing(stream);
            TryToWrite(place);
            var segments = Directory.Exists(stream) ? Directory.GetFiles(stream) : [];

            return Fact(
                "",
                FSharpValueOption<ulong>.NewValueSome((ulong)new DriveInfo(place).AvailableFreeSpace),
                Backlog(stream, segments),
                IsLocked(Path.Join(stream, "lock")),
                segments.Count(static path => Outbound.Spool.KindOf(Path.GetFileName(path)).IsOtherVersion));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return Fact(FaultReason.Of(error), default, 0, false, 0);
        }
    }

    /// <summary>The directory, or the nearest one above it that is there: the agent makes the rest.</summary>
    private static string Existing(string path)
    {
        var place = Path.GetFullPath(path);

        while (!Directory.Exists(place))
        {
            if (File.Exists(place))
            {
                throw new IOException($"{place} is not a directory");
            }

            place = Path.GetDirectoryName(place) ?? "/";
        }

        return place;
    }

    private static void TryToWrite(string directory)
    {
        var path = Path.Join(directory, $".doctor-{Environment.ProcessId}");
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose);
        file.WriteByte(0);
        file.Flush();
    }

    private static ulong Backlog(string stream, string[] files)
    {
        var segments = files.Where(static path => Outbound.Spool.KindOf(Path.GetFileName(path)).IsSegment).ToArray();
        var positionFile = Path.Join(stream, Outbound.Spool.PositionName);
        var position = File.Exists(positionFile) ? Outbound.Spool.ReadPosition(File.ReadAllBytes(positionFile)) : default;
        var current = position.IsSome ? Outbound.Spool.NameOf(position.Value.Segment) : "";
        var waiting = 0L;

        foreach (var path in segments)
        {
            var order = string.CompareOrdinal(Path.GetFileName(path), current);
            var length = new FileInfo(path).Length;
            waiting += order > 0 ? length : order == 0 ? Math.Max(0, length - position.Value.Offset) : 0;
        }

        return (ulong)waiting;
    }

    /// <summary>True when another process holds the lock. Ours is shared, and given back at once.</summary>
    private static bool IsLocked(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }
}
