using Agent.Dashboard.Store;
using Agent.Receiver;
using Npgsql;

namespace Agent.Dashboard.State;

/// <summary>
/// A connection to the PostgreSQL that keeps the state. Not safe for several threads. Nothing here waits for long: a server that hangs, or another
/// dashboard that was halted in the middle of a transaction, costs a few seconds and an error.
/// </summary>
internal sealed class PostgresConnection : StateConnection, IDisposable
{
    /// <summary>The rows of the table of revisions: what is changed in transactions that come one after the other.</summary>
    public const string Alerts = "alerts";

    /// <inheritdoc cref="Alerts"/>
    public const string Registered = "registrations";

    /// <inheritdoc cref="Alerts"/>
    public const string Sessions = "sessions";

    private const int ConnectSeconds = 4;
    private const int StatementSeconds = 6;

    /// <summary>
    /// A session that is idle within a transaction is ended by the server, and with it its locks: its dashboard is halted, or its machine is gone. Less than the
    /// others have time to take over.
    /// </summary>
    private const string Limits =
        "SET idle_in_transaction_session_timeout = '8s'; SET lock_timeout = '4s'; SET statement_timeout = '5s'; SET client_min_messages = warning";

    private readonly NpgsqlConnection connection;

    private PostgresConnection(NpgsqlConnection connection) => this.connection = connection;

    /// <inheritdoc/>
    public override bool HasSamples => false;

    /// <inheritdoc/>
    public override string HighestAlert => "SELECT highest FROM alert_number";

    /// <inheritdoc/>
    public override string? RaiseHighestAlert => "UPDATE alert_number SET highest = ?1 WHERE highest < ?1";

    /// <summary>How many rows were changed so far.</summary>
    public long Changes { get; private set; }

    /// <summary>Makes connections; it holds none.</summary>
    /// <param name="address">Where PostgreSQL is.</param>
    /// <param name="password">Empty where libpq's variables or its file have it.</param>
    public static NpgsqlDataSource Source(StateAddress address, string password)
    {
        var builder = new NpgsqlSlimDataSourceBuilder();
        var settings = builder.ConnectionStringBuilder;
        settings.Host = address.Host;
        settings.Port = address.Port;
        settings.Username = address.User;
        settings.Database = address.Database;
        settings.SslMode = address.TlsMode switch
        {
            "disable" => SslMode.Disable,
            "require" => SslMode.Require,
            "verify-ca" => SslMode.VerifyCA,
            "verify-full" => SslMode.VerifyFull,
            _ => SslMode.Prefer,
        };
        settings.Password = password.Length == 0 ? null : password;
        settings.ApplicationName = DashboardCli.ProgramName;
        settings.Pooling = false;
        settings.Timeout = ConnectSeconds;
        settings.CommandTimeout = StatementSeconds;
        settings.CancellationTimeout = 1000;
        settings.TcpKeepAlive = true;

        if (address.RootCertificate.Length > 0)
        {
            settings.RootCertificate = address.RootCertificate;
        }

        builder.EnableTransportSecurity();
        return builder.Build();
    }

    /// <summary>Connects.</summary>
    /// <exception cref="Exception">It cannot: one of those that <see cref="PostgresFault.IsOne"/> knows.</exception>
    public static PostgresConnection Open(NpgsqlDataSource source)
    {
        var opened = source.OpenConnection();

        try
        {
            var connection = new PostgresConnection(opened);
            connection.Execute(Limits);
            return connection;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override IStatement Prepare(string sql) => new PostgresStatement(this, connection, sql);

    /// <summary>Executes statements for what they do.</summary>
    public void Execute(string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        command.ExecuteNonQuery();
    }

    /// <summary>The one value that a statement gives; 0 for none.</summary>
    public long Scalar(string sql)
    {
        using var statement = Prepare(sql);
        var value = statement.Step() ? statement.Integer(0) : 0;
        statement.Reset();
        return value;
    }

    /// <inheritdoc/>
    public override T Transact<T>(AgentClock clock, Func<T> work) => Transact(Registered, _ => work());

    /// <summary>
    /// Runs <paramref name="work"/> in a transaction that may change what a revision counts. Transactions of one revision come one after the other, of all dashboards.
    /// </summary>
    /// <param name="revision">What is changed.</param>
    /// <param name="work">Is given the version that was found.</param>
    public T Transact<T>(string revision, Func<long, T> work)
    {
        using var transaction = connection.BeginTransaction();
        using var locked = Prepare("SELECT version FROM revision WHERE name = ?1 FOR UPDATE");
        var version = locked.Bind(1, revision).Step() ? locked.Integer(0) : 0;
        locked.Reset();
        var before = Changes;
        var result = work(version);

        if (Changes != before)
        {
            using var count = Prepare("UPDATE revision SET version = version + 1 WHERE name = ?1");
            count.Bind(1, revision).Run();
        }

        transaction.Commit();
        return result;
    }

    /// <summary>Runs <paramref name="work"/> in a transaction of its own, beside those of revisions.</summary>
    public T Apart<T>(Func<T> work)
    {
        using var transaction = connection.BeginTransaction();
        var result = work();
        transaction.Commit();
        return result;
    }

    /// <summary>So many rows were changed; less than nothing counts as none.</summary>
    public void Changed(int count) => Changes += Math.Max(0, count);

    /// <inheritdoc/>
    public void Dispose() => connection.Dispose();
}
