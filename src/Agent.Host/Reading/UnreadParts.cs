using Agent.Core;

namespace Agent.Host.Reading;

/// <summary>
/// What could not be read and has not been since. A fault that is no longer told may be over, or what it was about is gone or has no value
/// any more; only what was read is known to be over. Written by one thread, and asked by others.
/// </summary>
internal sealed class UnreadParts
{
    /// <summary>More are not remembered, and taken for over.</summary>
    public const int Most = 256;

    private volatile HashSet<string> paths = [];

    /// <summary>Takes the outcome of one reading.</summary>
    /// <param name="faults">What could not be read now.</param>
    /// <param name="isRead">Whether a path was read now.</param>
    public void Observe(IEnumerable<SourceError> faults, Func<string, bool> isRead)
    {
        var known = paths;
        var left = known.Count == 0 ? known : [.. known.Where(path => !isRead(path))];

        foreach (var fault in faults)
        {
            // Those that were told are in use; so another set is filled.
            left = ReferenceEquals(left, known) ? [.. known] : left;

            if (left.Count < Most)
            {
                left.Add(PathOf(fault));
            }
        }

        paths = left;
    }

    /// <summary>True for one that failed and has not been read since.</summary>
    public bool Contains(string path) => paths.Contains(path);

    /// <summary>What a fault is about.</summary>
    public static string PathOf(SourceError fault) =>
        fault.Match(static path => path, static (path, _) => path, static error => error.Source);
}
