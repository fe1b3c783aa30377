using System.Text;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.State;

/// <summary>
/// The text of the users or of the tokens in the state, as a file would have it. It is read four times a second at most, whatever strangers send, and what
/// was read last stays while PostgreSQL is away.
/// </summary>
/// <param name="state">Has it.</param>
/// <param name="setting">By which name.</param>
/// <param name="clock">The dashboard's.</param>
internal sealed class SharedCredentials(PostgresState state, string setting, AgentClock clock)
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    private readonly Lock gate = new();
    private byte[]? known;
    private TimeSpan readAt;

    /// <summary>The text; null, with a sentence, where it was never read.</summary>
    public byte[]? Read(out string problem)
    {
        lock (gate)
        {
            if (known is null || (clock.Elapsed - readAt >= Period && state.Works))
            {
                readAt = clock.Elapsed;
                var text = "";

                if (state.Read(connection => text = Setting.Read(connection, setting)).Result)
                {
                    known = Encoding.UTF8.GetBytes(text);
                }
            }

            problem = known is null ? state.Reason : "";
            return known;
        }
    }
}
