using Agent.Receiver;

namespace Agent.Dashboard.Store;

/// <summary>What there is of one job.</summary>
/// <param name="Job">The job, with what it used in all of its life.</param>
/// <param name="Parts">Its parts on other machines, at the same time.</param>
/// <param name="Earlier">The run of the same name and user before it, or null.</param>
/// <param name="Minutes">What it did in each of its minutes, in the order of time.</param>
internal sealed record JobLife(
    (JobRecord Record, JobTotals Totals) Job,
    List<(JobRecord Record, JobTotals Totals)> Parts,
    (JobRecord Record, JobTotals Totals)? Earlier,
    List<(long Minute, JobMinute Did)> Minutes);

/// <summary>Reads jobs and what they used: of the database, or of a cluster of metrics.</summary>
internal interface IJobReader
{
    /// <summary>The jobs that were there in a stretch of time, of a server or of all, with what they used in it.</summary>
    List<(JobRecord Record, JobTotals Totals)> In(int? server, JobRange range, WorkLimit limit);

    /// <summary>A job of a server by its number, or null.</summary>
    JobLife? Life(int server, long number, WorkLimit limit);

    /// <summary>What was used in a stretch of time, by job, label and day.</summary>
    List<(JobRecord Record, DailyUse Use)> Daily(JobRange range, WorkLimit limit);
}
