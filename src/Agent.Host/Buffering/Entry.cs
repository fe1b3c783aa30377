using Agent.Outbound;

namespace Agent.Host.Buffering;

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
