using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Buffering;

/// <summary>One file of records.</summary>
/// <param name="number">Its place among the others.</param>
/// <param name="path">Where it lies.</param>
internal sealed class Segment(long number, string path)
{
    /// <summary>Its place among the others.</summary>
    public long Number => number;

    /// <summary>Where it lies.</summary>
    public string Path => path;

    /// <summary>Bytes of whole records.</summary>
    public long Size { get; set; }

    /// <summary>Records that are not delivered yet, those that were set aside among them.</summary>
    public long Held { get; set; }
}

/// <summary>One sample that is held: on disk when it has a place, else in memory.</summary>
internal sealed class Entry(EncodedSample sample)
{
    /// <summary>The sample; null for one that was set aside and is on disk.</summary>
    public EncodedSample? Sample { get; set; } = sample;

    /// <summary>Where on disk it begins.</summary>
    public SpoolPosition? Place { get; set; }

    /// <summary>Where on disk it ends.</summary>
    public SpoolPosition? End { get; set; }

    /// <summary>Why the webapp refused it.</summary>
    public string Reason { get; set; } = "";

    /// <summary>True when it was dropped for lack of room while it was being delivered.</summary>
    public bool IsGone { get; set; }
}
