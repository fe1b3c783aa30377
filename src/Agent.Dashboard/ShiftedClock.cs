
namespace Agent.Dashboard;

/// <summary>A clock whose wall clock is ahead of the machine's by a fixed time; what is measured or waited for takes as long.</summary>
internal sealed class ShiftedClock(TimeSpan ahead) : AgentClock
{
    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + ahead;
}
