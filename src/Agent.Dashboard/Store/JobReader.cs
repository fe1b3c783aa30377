using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Reads jobs and what they used. Over one connection, not safe for several threads.</summary>
internal sealed class JobReader : IJobReader, IDisposable
{
    private const long MicrosecondsPerHour = 60 * RowKey.MicrosecondsPerMinute;

    /// <summary>So many jobs are read for one answer; of more it tells those that were seen last.</summary>
    private const int MostJobs = 4000;

    private static readonly string Columns = JobRows.Columns;

    private readonly Statement ofServer;
    private readonly Statement ofAll;
    private readonly Statement one;
    private readonly Statement cohort;
    private readonly Statement earlier;
    private readonly Statement uses;
    private readonly Statement life;
    private readonly Statement daily;
    private readonly Statement minutes;

    /// <summary>Prepares its statements.</summary>
    public JobReader(SqliteConnection connection)
    {
        ofServer = new Statement(
            connection,
            $"SELECT {Columns} FROM job WHERE server = ?1 AND last_seen >= ?2 AND began < ?3 ORDER BY last_seen DESC LIMIT {MostJobs}");
        ofAll = new Statement(
            connection, $"SELECT {Columns} FROM job WHERE last_seen >= ?1 AND began < ?2 ORDER BY last_seen DESC LIMIT {MostJobs}");
        one = new Statement(connection, $"SELECT {Columns} FROM job WHERE id = ?1");
        cohort = new Statement(
            connection,
            $"SELECT {Columns} FROM job WHERE cohort = ?1 AND cohort <> '' AND began <= ?3 AND last_seen >= ?2 AND id <> ?4 ORDER BY server LIMIT 256");
        earlier = new Statement(
            connection,
            $"SELECT {Columns} FROM job WHERE name = ?1 AND user = ?2 AND began < ?3 AND id <> ?4 ORDER BY began DESC LIMIT 1");
        uses = new Statement(connection, "SELECT job, label, gpu_ms, wasted_ms FROM job_hour WHERE job = ?1 AND hour >= ?2 AND hour < ?3");
        life = new Statement(connection, "SELECT job, label, gpu_ms, wasted_ms FROM job_hour WHERE job = ?1");
        daily = new Statement(
            connection,
            """
            SELECT job, label, hour / 24, sum(gpu_ms), sum(wasted_ms) FROM job_hour WHERE hour >= ?1 AND hour < ?2 GROUP BY 1, 2, 3
            """);
        minutes = new Statement(
            connection, "SELECT key, jobs FROM minute WHERE key >= ?1 AND key <= ?2 AND jobs IS NOT NULL ORDER BY key");
    }

    /// <inheritdoc/>
    public List<(JobRecord Record, JobTotals Totals)> In(int? server, JobRange range, WorkLimit limit)
    {
        var rows = server is { } id
            ? All(ofServer.Bind(1, id).Bind(2, range.From).Bind(3, range.Until))
            : All(ofAll.Bind(1, range.From).Bind(2, range.Until));
        return rows.ConvertAll(record =>
        {
            limit.Check();
            return (record, Totals(uses
                .Bind(1, record.Number).Bind(2, range.From / MicrosecondsPerHour).Bind(3, range.Until / MicrosecondsPerHour)));
        });
    }

    /// <inheritdoc/>
    public JobLife? Life(int server, long number, WorkLimit limit)
    {
        if (Find(number) is not { } job || job.Server != server)
        {
            return null;
        }

        return new JobLife(
            With(job),
            Parts(job).ConvertAll(With),
            Earlier(job) is { } earlier ? With(earlier) : null,
            Minutes(job, limit));

        (JobRecord, JobTotals) With(JobRecord record) => (record, Totals(record));
    }

    private JobRecord? Find(long number) => All(one.Bind(1, number)).FirstOrDefault();

    /// <summary>What a job used in all of its life.</summary>
    private JobTotals Totals(JobRecord job) => Totals(life.Bind(1, job.Number));

    /// <summary>The parts of a job on other machines, at the same time.</summary>
    private List<JobRecord> Parts(JobRecord job) =>
        All(cohort.Bind(1, job.Cohort).Bind(2, job.Began).Bind(3, job.LastSeen).Bind(4, job.Number));

    /// <summary>The run of the same name and user before a job, or null.</summary>
    private JobRecord? Earlier(JobRecord job) =>
        All(earlier.Bind(1, job.Name).Bind(2, job.User).Bind(3, job.Began).Bind(4, job.Number)).FirstOrDefault();

    /// <summary>What a job did in each of its minutes that are rolled up, in the order of time.</summary>
    private List<(long Minute, JobMinute Did)> Minutes(JobRecord job, WorkLimit limit)
    {
        var found = new List<(long, JobMinute)>();
        minutes
            .Bind(1, RowKey.Minute(job.Server, RowKey.MinuteAt(job.Began)))
            .Bind(2, RowKey.Minute(job.Server, RowKey.MinuteAt(job.LastSeen)));

        try
        {
            while (minutes.Step())
            {
                limit.Check();

                foreach (var did in VerdictMinuteModule.UnpackJobs(minutes.Bytes(1)))
                {
                    if (did.Job == job.Number)
                    {
                        found.Add((RowKey.MinuteOf(minutes.Integer(0)), did));
                    }
                }
            }
        }
        finally
        {
            minutes.Reset();
        }

        return found;
    }

    /// <inheritdoc/>
    public List<(JobRecord Record, DailyUse Use)> Daily(JobRange range, WorkLimit limit)
    {
        var found = new List<DailyUse>();
        daily.Bind(1, range.From / MicrosecondsPerHour).Bind(2, range.Until / MicrosecondsPerHour);

        try
        {
            while (daily.Step())
            {
                limit.Check();
                found.Add(new DailyUse(
                    new JobUse(daily.Integer(0), (int)daily.Integer(1), daily.Integer(3), daily.Integer(4)), (int)daily.Integer(2)));
            }
        }
        finally
        {
            daily.Reset();
        }

        var records = new Dictionary<long, JobRecord?>();
        var joined = new List<(JobRecord, DailyUse)>(found.Count);

        foreach (var used in found)
        {
            if (!records.TryGetValue(used.Use.Job, out var record))
            {
                limit.Check();
                records[used.Use.Job] = record = Find(used.Use.Job);
            }

            if (record is not null)
            {
                joined.Add((record, used));
            }
        }

        return joined;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ofServer.Dispose();
        ofAll.Dispose();
        one.Dispose();
        cohort.Dispose();
        earlier.Dispose();
        uses.Dispose();
        life.Dispose();
        daily.Dispose();
        minutes.Dispose();
    }

    private static List<JobRecord> All(Statement rows)
    {
        var found = new List<JobRecord>();

        try
        {
            while (rows.Step())
            {
                found.Add(JobRows.Read(rows));
            }
        }
        finally
        {
            rows.Reset();
        }

        return found;
    }

    private static JobTotals Totals(Statement rows)
    {
        var found = new List<JobUse>();

        while (rows.Step())
        {
            found.Add(new JobUse(rows.Integer(0), (int)rows.Integer(1), rows.Integer(2), rows.Integer(3)));
        }

        return JobResponses.TotalsOf(found);
    }
}
