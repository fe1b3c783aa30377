using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// A prepared statement, of SQLite or of PostgreSQL. Parameters are written <c>?1</c> and counted from 1, columns are counted from 0. Not safe for
/// several threads.
/// </summary>
internal interface IStatement : IDisposable
{
    /// <summary>Sets a parameter.</summary>
    IStatement Bind(int index, long value);

    /// <summary>Sets a parameter.</summary>
    IStatement Bind(int index, bool value);

    /// <summary>Sets a parameter.</summary>
    IStatement Bind(int index, string value);

    /// <summary>Sets a parameter. No bytes are NULL.</summary>
    IStatement Bind(int index, ReadOnlySpan<byte> value);

    /// <summary>Sets a parameter to NULL.</summary>
    IStatement BindNull(int index);

    /// <summary>Goes to the next row; false, and ready for the next execution, when there is none.</summary>
    bool Step();

    /// <summary>Executes it for what it does.</summary>
    void Run();

    /// <summary>Ends an execution before its last row.</summary>
    void Reset();

    /// <summary>Whether a column of the row is NULL.</summary>
    bool IsNull(int column);

    /// <summary>A column of the row; 0 for NULL.</summary>
    long Integer(int column);

    /// <summary>A column of the row; empty for NULL.</summary>
    string Text(int column);

    /// <summary>A column of the row; empty for NULL. Good until the next step.</summary>
    ReadOnlySpan<byte> Bytes(int column);
}

/// <summary>
/// A connection to where the state is kept that several dashboards can share: registrations, keys, alerts, what waits to be delivered. SQLite and
/// PostgreSQL execute the same statements; where they cannot, the difference stands here.
/// </summary>
internal abstract class StateConnection
{
    /// <summary>Prepares a statement.</summary>
    public abstract IStatement Prepare(string sql);

    /// <summary>Runs <paramref name="work"/> in a transaction that may change registrations and keys.</summary>
    public abstract T Transact<T>(AgentClock clock, Func<T> work);

    /// <summary>Whether samples, and what follows from them, are kept beside the state.</summary>
    public abstract bool HasSamples { get; }

    /// <summary>The statement for the highest number that an alert was ever given.</summary>
    public abstract string HighestAlert { get; }

    /// <summary>The statement that remembers a number as that, where it does not follow from the alert's row; else null.</summary>
    public abstract string? RaiseHighestAlert { get; }

    /// <summary>A connection to SQLite.</summary>
    public static implicit operator StateConnection(SqliteConnection connection) => new SqliteState(connection);

    /// <summary>The state in the database of the samples.</summary>
    private sealed class SqliteState(SqliteConnection connection) : StateConnection
    {
        public override T Transact<T>(AgentClock clock, Func<T> work) => Database.Transact(connection, clock, work);

        public override bool HasSamples => true;

        public override string HighestAlert => "SELECT seq FROM sqlite_sequence WHERE name = 'alert'";

        public override string? RaiseHighestAlert => null;

        public override IStatement Prepare(string sql) => new Statement(connection, sql);
    }
}
