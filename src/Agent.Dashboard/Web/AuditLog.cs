using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>One line for each log-in, log-out, refusal and added server, up to so many a minute. Names come from outside and are escaped.</summary>
internal sealed class AuditLog(Action<string> write, AgentClock clock)
{
    private readonly Lock gate = new();
    private AuditBudget budget = Audit.fresh;

    /// <summary>Writes a line: what happened, to whom, from where, and why.</summary>
    public void Note(string what, string name, string address, string reason = "")
    {
        Renew();

        lock (gate)
        {
            (var isWritten, budget) = Audit.Counted(budget);

            if (!isWritten)
            {
                return;
            }
        }

        write(Audit.Line(what, name, address, reason));
    }

    /// <summary>Says how many events of the last minute got no line, once that is over.</summary>
    public void Renew()
    {
        int left;

        lock (gate)
        {
            (left, budget) = Audit.Renewed(clock.Elapsed, budget);
        }

        if (left > 0)
        {
            write($"audit: {left} more events in that minute");
        }
    }
}
