using Agent.Dashboard.Store;
using Agent.Receiver;

namespace Agent.Dashboard.State;

/// <summary>The row of the lease. Within a transaction; times are those of PostgreSQL.</summary>
internal sealed class LeaseRows(PostgresConnection connection) : IDisposable
{
    private const string Row = "name = 'alerts'";

    private readonly IStatement read = connection.Prepare(
        $"SELECT holder, token, (extract(epoch FROM ends - clock_timestamp()) * 1000000)::bigint, address FROM lease WHERE {Row} FOR UPDATE");

    private readonly IStatement write = connection.Prepare(
        $"UPDATE lease SET holder = ?1, address = ?2, token = ?3, ends = clock_timestamp() + ?4 * interval '1 microsecond' WHERE {Row}");

    private readonly IStatement fence = connection.Prepare($"SELECT token FROM lease WHERE {Row} AND holder = ?1 AND token = ?2 FOR SHARE");

    private readonly IStatement release = connection.Prepare(
        $"UPDATE lease SET holder = '', address = '', ends = clock_timestamp() WHERE {Row} AND holder = ?1");

    /// <summary>Takes the lease, prolongs it, or finds that another has it; and who has it then.</summary>
    /// <param name="me">Which run of which dashboard this is.</param>
    /// <param name="address">What people call it.</param>
    public (LeaseStep Step, string Holder) Step(string me, string address)
    {
        if (!read.Step())
        {
            throw new InvalidOperationException("the state has no row for the lease");
        }

        var holder = read.Text(3);
        var step = Lease.Decide(me, new LeaseRow(read.Text(0), read.Integer(1), TimeSpan.FromMicroseconds(read.Integer(2))));
        read.Reset();
        return step.Match(token => Write(step, token), token => Write(step, token), () => (step, holder));

        (LeaseStep Step, string Holder) Write(LeaseStep taken, long token)
        {
            write.Bind(1, me).Bind(2, address).Bind(3, token).Bind(4, (long)Lease.length.TotalMicroseconds).Run();
            return (taken, address);
        }
    }

    /// <summary>Whether this run holds the lease under a number still; until the transaction ends nobody else can take it.</summary>
    public bool Holds(string me, long token)
    {
        var holds = fence.Bind(1, me).Bind(2, token).Step();
        fence.Reset();
        return holds;
    }

    /// <summary>Gives the lease back, if this run has it.</summary>
    public void Release(string me) => release.Bind(1, me).Run();

    /// <inheritdoc/>
    public void Dispose()
    {
        read.Dispose();
        write.Dispose();
        fence.Dispose();
        release.Dispose();
    }
}
