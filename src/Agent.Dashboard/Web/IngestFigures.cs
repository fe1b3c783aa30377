using System.Collections.Concurrent;

namespace Agent.Dashboard.Web;

/// <summary>How requests with samples were answered.</summary>
internal sealed class IngestFigures
{
    private readonly ConcurrentDictionary<int, long> byStatus = new();

    /// <summary>Counts an answer.</summary>
    public void Count(int status) => byStatus.AddOrUpdate(status, 1, static (_, count) => count + 1);

    /// <summary>The counts by status.</summary>
    public IEnumerable<(int Status, long Count)> All() =>
        byStatus.OrderBy(static entry => entry.Key).Select(static entry => (entry.Key, entry.Value));
}
