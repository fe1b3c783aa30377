using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>What the servers of a database bring, by their newest rows: from it follows how large the database becomes.</summary>
internal static class Loads
{
    private const int Rows = 60;

    /// <summary>Of each server whose samples are taken; of one that has sent nothing so far what is usual.</summary>
    public static ServerLoad[] Of(string path, ICollection<LiveServer> servers)
    {
        using var connection = Database.OpenForReading(path);
        using var samples = new Statement(
            connection,
            $"""
            SELECT avg(ifnull(length(disks), 0) + ifnull(length(gpus), 0) + ifnull(length(fans), 0) + ifnull(length(details), 0))
            FROM (SELECT disks, gpus, fans, details FROM sample WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT {Rows})
            """);
        using var minutes = new Statement(
            connection,
            $"SELECT avg(length(figures) + ifnull(length(details), 0)) FROM (SELECT figures, details FROM minute WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT {Rows})");

        return
        [
            .. from server in servers
               where server.Registration.IsActive
               let id = server.Id
               let sample = Mean(samples, RowKey.Sample(id, 0), RowKey.Sample(id + 1, 0))
               let minute = Mean(minutes, RowKey.Minute(id, 0), RowKey.Minute(id + 1, 0))
               let interval = server.View.Interval
               select new ServerLoad(
                   interval.IsValueSome ? interval.Value : Sizing.usual.Interval,
                   sample is { } ofSample ? ofSample + Sizing.RowBytes : Sizing.usual.SampleBytes,
                   minute is { } ofMinute ? ofMinute : Sizing.usual.MinuteBytes),
        ];
    }

    private static double? Mean(Statement statement, long first, long past)
    {
        statement.Bind(1, first).Bind(2, past).Step();
        double? mean = statement.IsNull(0) ? null : statement.Real(0);
        statement.Reset();
        return mean;
    }
}
