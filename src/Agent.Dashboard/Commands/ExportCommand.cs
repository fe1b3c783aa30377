using Agent.Receiver;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Cluster;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Commands;

/// <summary>
/// The command <c>export</c>: writes the history of a database to a cluster of metrics by remote-write, machine after machine in the order of time, with
/// the samples' own times. It reads only, also beside a dashboard that serves.
/// </summary>
internal sealed class ExportCommand(AgentClock clock, CommandLineProgram program)
{
    private static readonly TimeSpan Told = TimeSpan.FromSeconds(15);

    private TimeSpan nextTold = Told;

    /// <summary>Writes it; the exit code.</summary>
    public int Run(ExportSettings settings) =>
        !File.Exists(settings.Database)
            ? program.Refuse([$"--database: \"{settings.Database}\" does not exist"])
            : ClusterHeaderFile.Open("--header-file", settings.HeaderFile, "", program.Complain).Match(
                headers => Run(settings, headers),
                sentence => program.Refuse([sentence]));

    private int Run(ExportSettings settings, ClusterHeaderFile headers)
    {
        try
        {
            using var connection = Database.OpenForReading(settings.Database);

            if (Database.Refusal(connection, settings.Database) is { } refusal)
            {
                return program.Refuse([refusal]);
            }

            return Migrations.IsCurrent(connection)
                ? Export(settings, headers, connection)
                : program.Fail($"--database: \"{settings.Database}\" was written by an older {DashboardCli.ProgramName}; serve it once with this one, which brings it up to date");
        }
        catch (Exception failure) when (failure is SqliteException or IOException or UnauthorizedAccessException)
        {
            return program.Fail(Database.Sentence(settings.Database, failure));
        }
    }

    private int Export(ExportSettings settings, ClusterHeaderFile headers, SqliteConnection connection)
    {
        Registration[] servers =
        [
            .. Registrations.All(connection)
                .Select(static known => known.Registration)
                .Where(known => settings.Server.Length == 0 || known.Slug == settings.Server)
                .OrderBy(static known => known.Slug, StringComparer.Ordinal),
        ];

        if (servers.Length == 0)
        {
            return program.Fail(settings.Server.Length > 0
                ? $"there is no server \"{settings.Server}\"; list-servers lists them all"
                : "no server is registered, so there is nothing to write");
        }

        using var rows = new ExportRows(connection);
        using var client = new RemoteWriteClient(settings.Url, headers.Current, program.Version, clock, CancellationToken.None);
        var sender = new ExportSender(client, clock, program.Complain);
        var written = new List<ExportRow>();
        var code = ExitCode.Success;

        foreach (var server in servers)
        {
            var before = client.Sent;
            sender.Begin();
            var (series, end) = Write(server, rows, sender, RowKey.Microseconds(settings.From), RowKey.Microseconds(settings.Until));
            written.Add(new ExportRow(server.Slug, sender.Taken, sender.Range.First, sender.Range.Last, series, client.Sent - before, sender.Refused));
            code = sender.Refused > 0 ? ExitCode.Failure : code;

            if (end is var (reason, at))
            {
                program.Complain(ClusterExport.Ended(server.Slug, at, reason));
                code = ExitCode.Failure;
                break;
            }
        }

        if (written.Where(static row => row.Samples > 0).Select(static row => row.From).DefaultIfEmpty(DateTimeOffset.MaxValue).Min() is var oldest
            && ClusterExport.Note(clock.GetUtcNow(), oldest) is { Length: > 0 } note)
        {
            program.Complain(note);
        }

        return Math.Max(code, program.Print(ClusterExport.Table([.. written])));
    }

    /// <summary>Writes the history of one machine: the most series of a sample, and why it ended early, if it did.</summary>
    private (int Series, (string Reason, DateTimeOffset At)? End) Write(
        Registration server, ExportRows rows, ExportSender sender, long from, long until)
    {
        var series = 0;
        // By its slug, as its agent writes it itself, and as samples that are posted are passed on.
        var instance = server.Slug;
        var pruned = Math.Clamp(rows.PrunedUntil(server.Id), from, until);
        var (first, past) = (RowKey.MinuteAt(from + RowKey.MicrosecondsPerMinute - 1), RowKey.MinuteAt(pruned));
        var counters = new ExportCounters();

        foreach (var minute in rows.Minutes(server.Id, first, past))
        {
            counters.Foresee(minute.Rollup);
        }

        if (rows.Samples(server.Id, past * RowKey.MicrosecondsPerMinute, long.MaxValue >> 12).FirstOrDefault() is { } next)
        {
            counters.Meet(next.Report);
        }

        foreach (var minute in rows.Minutes(server.Id, first, past))
        {
            var start = RowKey.Instant(minute.Minute * RowKey.MicrosecondsPerMinute);
            var records = ClusterExport.OfMinute(sender.Version, instance, counters, minute.Minute, minute.Rollup, minute.Verdicts);

            for (var index = 0; index < records.Length; index++)
            {
                if (Add(records[index].Bytes, records[index].Series, start.AddSeconds(index * ClusterExport.StepSeconds)) is { } end)
                {
                    return (series, end);
                }
            }
        }

        foreach (var row in rows.Samples(server.Id, Math.Max(from, past * RowKey.MicrosecondsPerMinute), until))
        {
            var record = ClusterExport.OfSample(sender.Version, instance, row.Report, row.Label, row.Said.Label);

            if (Add(record.Bytes, record.Series, row.Report.CollectedAt) is { } end)
            {
                return (series, end);
            }
        }

        return (series, sender.Send());

        (string Reason, DateTimeOffset At)? Add(byte[] record, int count, DateTimeOffset at)
        {
            series = Math.Max(series, count);

            if (clock.Elapsed >= nextTold)
            {
                nextTold = clock.Elapsed + Told;
                program.Tell(ClusterExport.Progress(server.Slug, sender.Taken, sender.Taken > 0 ? sender.Range.Last : at));
            }

            return sender.Add(record, at);
        }
    }
}
