using Agent.Core;
using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>A job of a server that is not over, as far as its newest sample says.</summary>
internal sealed class HeldJob
{
    /// <summary>Its number.</summary>
    public required long Number { get; init; }

    /// <summary>When it began, in microseconds.</summary>
    public required long Began { get; init; }

    /// <summary>When it was seen last.</summary>
    public long LastSeen { get; set; }

    /// <summary>When that was written last.</summary>
    public long WrittenAt { get; set; }

    /// <summary>The code of its newest label.</summary>
    public int Label { get; set; }
}

/// <summary>The rows of jobs and of what they use. On the writer's thread, within its transaction.</summary>
internal sealed class JobRows : IDisposable
{
    /// <summary>The columns of a job, in the order in which <see cref="Read"/> takes them.</summary>
    public const string Columns =
        "id, server, name_of_agent, owner_kind, owner_value, owner_namespace, owner_name, user, uid, name, command, cohort, gpus, began, "
        + "last_seen, is_over, label, gpu_busy_percent, cpu_cores_used, memory_bytes";

    private const long MicrosecondsPerHour = 60 * RowKey.MicrosecondsPerMinute;

    /// <summary>So much is deleted in one go.</summary>
    private const int StepRows = 500;

    /// <summary>What changes without a change of label is written so often.</summary>
    private static readonly long WritePeriod = RowKey.MicrosecondsPerMinute;

    private readonly Statement add;
    private readonly Statement update;
    private readonly Statement end;
    private readonly Statement open;
    private readonly Statement nearest;
    private readonly Statement use;
    private readonly Statement forgetUnused;
    private readonly Statement forgetHours;
    private readonly Statement forgetJobs;

    /// <summary>Prepares its statements.</summary>
    public JobRows(SqliteConnection connection)
    {
        add = new Statement(
            connection,
            """
            INSERT INTO job (server, name_of_agent, owner_kind, owner_value, owner_namespace, owner_name, user, uid, name, command, cohort, gpus,
              began, last_seen, is_over, label)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0, ?15) RETURNING id
            """);
        update = new Statement(
            connection,
            """
            UPDATE job SET last_seen = max(last_seen, ?2), is_over = 0, label = ?3, gpu_busy_percent = ?4, cpu_cores_used = ?5, memory_bytes = ?6
            WHERE id = ?1
            """);
        end = new Statement(connection, "UPDATE job SET is_over = 1, last_seen = max(last_seen, ?2) WHERE id = ?1");
        open = new Statement(
            connection, "SELECT id, name_of_agent, began, last_seen, label FROM job WHERE server = ?1 AND last_seen >= ?2 AND is_over = 0");
        nearest = new Statement(
            connection,
            "SELECT id, began, last_seen FROM job WHERE server = ?1 AND name_of_agent = ?2 ORDER BY abs(last_seen - ?3) LIMIT 1");
        use = new Statement(
            connection,
            """
            INSERT INTO job_hour (job, hour, label, gpu_ms, wasted_ms) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (job, hour, label) DO UPDATE SET gpu_ms = gpu_ms + excluded.gpu_ms, wasted_ms = wasted_ms + excluded.wasted_ms
            """);
        forgetUnused = new Statement(connection, "DELETE FROM job_hour WHERE job = ?1 AND hour = ?2 AND label = ?3 AND gpu_ms <= 0");
        forgetHours = new Statement(
            connection,
            $"DELETE FROM job_hour WHERE (job, hour, label) IN (SELECT job, hour, label FROM job_hour WHERE hour < ?1 LIMIT {StepRows})");
        forgetJobs = new Statement(
            connection, $"DELETE FROM job WHERE id IN (SELECT id FROM job WHERE server = ?1 AND last_seen < ?2 LIMIT {StepRows})");
    }

    /// <summary>A job of a row that has the columns of <see cref="Columns"/>, from the first on.</summary>
    public static JobRecord Read(Statement row) =>
        new(
            row.Integer(0),
            (int)row.Integer(1),
            row.Text(2),
            row.Text(3),
            row.Text(4),
            row.Text(5),
            row.Text(6),
            row.Text(7),
            row.Integer(8),
            row.Text(9),
            row.Text(10),
            row.Text(11),
            row.Text(12),
            row.Integer(13),
            row.Integer(14),
            row.Integer(15) != 0,
            (int)row.Integer(16),
            row.IsNull(17) ? double.NaN : row.Real(17),
            row.IsNull(18) ? double.NaN : row.Real(18),
            row.IsNull(19) ? -1 : row.Integer(19));

    /// <summary>The jobs of a server that were not over when it was heard of last.</summary>
    public void Load(LiveServer server)
    {
        server.Jobs.Clear();
        open.Bind(1, server.Id).Bind(2, server.NewestAt - (JobRecordModule.same.Ticks / TimeSpan.TicksPerMicrosecond));

        while (open.Step())
        {
            server.Jobs[open.Text(1)] = new HeldJob
            {
                Number = open.Integer(0),
                Began = open.Integer(2),
                LastSeen = open.Integer(3),
                WrittenAt = open.Integer(3),
                Label = (int)open.Integer(4),
            };
        }
    }

    /// <summary>
    /// Notes the jobs of a sample, and those that are over where it is the newest. What is to be kept with the sample of each of them;
    /// one that is new where <paramref name="mayAdd"/> does not allow it is left out.
    /// </summary>
    public JobPoint[] Take(LiveServer server, Judgement judgement, long at, bool isNewest, Func<bool> mayAdd)
    {
        var numbers = new long[judgement.Jobs.Length];

        for (var index = 0; index < numbers.Length; index++)
        {
            var job = judgement.Jobs[index];
            numbers[index] = isNewest ? Follow(server, job, at, mayAdd) : Nearest(server, job, at) ?? Add(server, job, at, mayAdd);
        }

        // Where nobody uses a GPU, an agent sends neither jobs nor a verdict.
        if (isNewest)
        {
            EndMissing(server, at);
        }

        return JobPointModule.OfJobs(judgement, numbers);
    }

    /// <summary>Takes what changes in the hour of a minute.</summary>
    public void Use(long minute, JobUse[] changes)
    {
        var hour = minute / 60;

        foreach (var change in changes)
        {
            use.Bind(1, change.Job).Bind(2, hour).Bind(3, change.Label).Bind(4, change.Gpu).Bind(5, change.Wasted).Run();

            if (change.Gpu < 0)
            {
                forgetUnused.Bind(1, change.Job).Bind(2, hour).Bind(3, change.Label).Run();
            }
        }
    }

    /// <summary>Deletes some of what is older than that minute.</summary>
    public void Prune(int server, long firstMinute)
    {
        forgetHours.Bind(1, firstMinute / 60).Run();
        forgetJobs.Bind(1, server).Bind(2, firstMinute * RowKey.MicrosecondsPerMinute).Run();
    }

    /// <summary>Deletes the jobs of a server that is removed.</summary>
    public static void Remove(StateConnection connection, int server)
    {
        using var hours = connection.Prepare("DELETE FROM job_hour WHERE job IN (SELECT id FROM job WHERE server = ?1)");
        hours.Bind(1, server).Run();
        using var jobs = connection.Prepare("DELETE FROM job WHERE server = ?1");
        jobs.Bind(1, server).Run();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        add.Dispose();
        update.Dispose();
        end.Dispose();
        open.Dispose();
        nearest.Dispose();
        use.Dispose();
        forgetUnused.Dispose();
        forgetHours.Dispose();
        forgetJobs.Dispose();
    }

    /// <summary>When a job began; -1 where that is not known, or would be after the sample that names it.</summary>
    private static long StartOf(ReportedJob job, long at) =>
        job.StartedAt.IsValueSome && RowKey.Microseconds(job.StartedAt.Value) is var start && start <= at ? start : -1;

    /// <summary>The number of a job in the newest sample of its server.</summary>
    private long Follow(LiveServer server, ReportedJob job, long at, Func<bool> mayAdd)
    {
        if (!server.Jobs.TryGetValue(job.Id, out var held) || !JobRecordModule.IsSame(held.Began, held.LastSeen, StartOf(job, at), at))
        {
            if (held is not null)
            {
                end.Bind(1, held.Number).Bind(2, held.LastSeen).Run();
                server.Jobs.Remove(job.Id);
            }

            var number = Nearest(server, job, at) ?? Add(server, job, at, mayAdd);

            if (number == 0)
            {
                return 0;
            }

            held = server.Jobs[job.Id] = new HeldJob { Number = number, Began = BeganOf(job, at), Label = -1 };
        }

        held.LastSeen = at;
        var label = JobSchema.CodeOf(job.Verdict.Label);

        if (label != held.Label || at - held.WrittenAt >= WritePeriod)
        {
            held.Label = label;
            held.WrittenAt = at;
            Update(held, job);
        }

        return held.Number;
    }

    private void Update(HeldJob held, ReportedJob job)
    {
        update.Bind(1, held.Number).Bind(2, held.LastSeen).Bind(3, held.Label);
        Bind(4, job.GpuBusy);
        Bind(5, job.CpuCores);
        var memory = job.Memory;
        _ = memory < 0 ? update.BindNull(6) : update.Bind(6, memory);
        update.Run();

        void Bind(int place, double value) => _ = double.IsNaN(value) ? update.BindNull(place) : update.Bind(place, value);
    }

    private static long BeganOf(ReportedJob job, long at) => StartOf(job, at) is var start and >= 0 ? start : at;

    private long? Nearest(LiveServer server, ReportedJob job, long at)
    {
        nearest.Bind(1, server.Id).Bind(2, job.Id).Bind(3, at);
        long? found = nearest.Step() && JobRecordModule.IsSame(nearest.Integer(1), nearest.Integer(2), StartOf(job, at), at)
            ? nearest.Integer(0)
            : null;
        nearest.Reset();
        return found;
    }

    private long Add(LiveServer server, ReportedJob job, long at, Func<bool> mayAdd)
    {
        if (!mayAdd())
        {
            return 0;
        }

        var label = JobRecordModule.LabelOf("job", server.Agent);
        add
            .Bind(1, server.Id)
            .Bind(2, job.Id)
            .Bind(3, job.OwnerKind)
            .Bind(4, job.OwnerValue)
            .Bind(5, job.OwnerNamespace)
            .Bind(6, job.OwnerName)
            .Bind(7, job.User)
            .Bind(8, job.Uid)
            .Bind(9, job.Name)
            .Bind(10, job.Command)
            .Bind(11, JobRecordModule.CohortOf(label, job))
            .Bind(12, JobRecordModule.GpusOf(job))
            .Bind(13, BeganOf(job, at))
            .Bind(14, at)
            .Bind(15, JobSchema.CodeOf(job.Verdict.Label))
            .Step();
        var number = add.Integer(0);
        add.Reset();
        return number;
    }

    private void EndMissing(LiveServer server, long at)
    {
        List<string>? over = null;

        foreach (var (id, job) in server.Jobs)
        {
            if (at - job.LastSeen > JobRecordModule.gone.Ticks / TimeSpan.TicksPerMicrosecond)
            {
                (over ??= []).Add(id);
                end.Bind(1, job.Number).Bind(2, job.LastSeen).Run();
            }
        }

        over?.ForEach(id => server.Jobs.Remove(id));
    }
}
