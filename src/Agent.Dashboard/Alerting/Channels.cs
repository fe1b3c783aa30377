using Agent.Receiver;
using Agent.Receiver.Alerts;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Alerting;

/// <summary>How a channel is doing.</summary>
/// <param name="Name">What rules call it.</param>
/// <param name="Type">As in the file of alerts.</param>
/// <param name="Counts">What became of its messages.</param>
internal sealed record ChannelState(string Name, string Type, ChannelCounts Counts);

/// <summary>A file of alerts: the channels that it describes, and what it says of rules.</summary>
internal sealed class Channels : IDisposable
{
    private readonly Dictionary<string, ChannelCounts> counts = new(StringComparer.Ordinal);
    private readonly HashSet<string> testing = new(StringComparer.Ordinal);
    private readonly HttpDelivery http;
    private readonly AgentClock clock;

    private Channels(RuleSettings rules, Channel[] all, HttpDelivery http, AgentClock clock)
    {
        Rules = rules;
        All = all;
        this.http = http;
        this.clock = clock;
    }

    /// <summary>What the file says of rules, grouping, maintenance and routes.</summary>
    public RuleSettings Rules { get; }

    /// <summary>The channels, in the file's order.</summary>
    public IReadOnlyList<Channel> All { get; }

    /// <summary>How each is doing, as of a few seconds ago.</summary>
    public ChannelState[] States
    {
        get
        {
            lock (counts)
            {
                return [.. All.Select(channel => new ChannelState(
                    channel.Settings.Name, channel.Settings.Type, counts.GetValueOrDefault(channel.Settings.Name, ChannelCounts.None)))];
            }
        }
    }

    /// <summary>Reads a file of alerts and its channels' secrets; the error is a sentence for each thing that is wrong.</summary>
    /// <param name="path">The file. Files that it names lie beside it, unless their paths are absolute.</param>
    /// <param name="linkBase">What links begin with; empty for no links.</param>
    /// <param name="version">The program's.</param>
    /// <param name="clock">The receiver's.</param>
    /// <param name="complain">Takes sentences.</param>
    public static FSharpResult<Channels, string[]> Open(
        string path, string linkBase, string version, AgentClock clock, Action<string> complain)
    {
        var read =
            from bytes in Read(path)
            from root in AlertsFile.Parse(bytes).SelectError(reason => new[] { $"--alerts: \"{path}\" {reason}" })
            from settings in RuleSettingsModule.OfFile(root).SelectError(
                reasons => Array.ConvertAll(reasons, reason => $"--alerts: \"{path}\": {reason}"))
            select settings;

        return read.Match(found => Open(found, path, linkBase, version, clock, complain), FSharpResult<Channels, string[]>.NewError);
    }

    /// <summary>Looks whether secrets have changed.</summary>
    public void Poll()
    {
        foreach (var channel in All)
        {
            channel.Poll();
        }
    }

    /// <summary>The channel of a name; null where there is none.</summary>
    public Channel? Find(string name) => All.FirstOrDefault(channel => channel.Settings.Name == name);

    /// <summary>Takes over what became of messages.</summary>
    public void Take(string name, ChannelCounts now)
    {
        lock (counts)
        {
            counts[name] = now;
        }
    }

    /// <summary>
    /// Sends a test over a channel, at once and without the outbox; null when the other side has taken it, else a sentence about why not.
    /// </summary>
    public async Task<string?> Test(string name) =>
        Find(name) is not { } channel
            ? $"there is no channel \"{name}\"; there are {string.Join(", ", All.Select(static one => one.Settings.Name))}"
            : (await Try(channel, CancellationToken.None)).Match(static _ => (string?)null, static reason => reason, static (_, reason) => reason);

    /// <summary>Sends a test over a channel; one at a time.</summary>
    public async Task<AttemptEnd> Try(Channel channel, CancellationToken stop)
    {
        lock (testing)
        {
            if (!testing.Add(channel.Settings.Name))
            {
                return AttemptEnd.NewFailed(FSharpValueOption<TimeSpan>.None, "a test is already running");
            }
        }

        try
        {
            var now = RowKey.Microseconds(clock.GetUtcNow());
            var test = TestNotices.Of(channel.Settings, now);
            return await channel.Send($"test-{Guid.NewGuid():N}", test, stop);
        }
        finally
        {
            lock (testing)
            {
                testing.Remove(channel.Settings.Name);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    private static FSharpResult<Channels, string[]> Open(
        (ChannelSettings[] Settings, RuleSettings Rules) found,
        string path,
        string linkBase,
        string version,
        AgentClock clock,
        Action<string> complain)
    {
        var directory = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
        var credentials = Environment.GetEnvironmentVariable("CREDENTIALS_DIRECTORY") ?? "";
        var http = new HttpDelivery(linkBase, version, clock);
        var mail = new MailDelivery(linkBase, clock);
        var opened = Array.ConvertAll(
            found.Settings, settings => Channel.Open(settings, Place, http, mail, complain));
        var problems = opened.Where(static one => !one.IsOk).Select(static one => one.ErrorValue).ToArray();

        if (problems.Length == 0)
        {
            return FSharpResult<Channels, string[]>.NewOk(
                new Channels(found.Rules, Array.ConvertAll(opened, static one => one.ResultValue), http, clock));
        }

        http.Dispose();
        return FSharpResult<Channels, string[]>.NewError(problems);

        string Place(string named) => Path.Combine(directory, ServiceCredentials.Expand(credentials, [named])[0]);
    }

    private static FSharpResult<ReadOnlyMemory<byte>, string[]> Read(string path)
    {
        try
        {
            return new FileInfo(path).Length > AlertsFile.LongestFile
                ? Error($"--alerts: \"{path}\" is larger than {AlertsFile.LongestFile} bytes")
                : FSharpResult<ReadOnlyMemory<byte>, string[]>.NewOk(System.IO.File.ReadAllBytes(path));
        }
        catch (Exception unreadable) when (PrivateFiles.IsFault(unreadable))
        {
            return Error($"--alerts: \"{path}\" cannot be read: {FaultReason.Of(unreadable)}");
        }

        static FSharpResult<ReadOnlyMemory<byte>, string[]> Error(string sentence) =>
            FSharpResult<ReadOnlyMemory<byte>, string[]>.NewError([sentence]);
    }
}
