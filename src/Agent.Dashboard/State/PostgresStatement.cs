using System.Globalization;
using System.Text;
using Agent.Dashboard.Store;
using Npgsql;
using NpgsqlTypes;

namespace Agent.Dashboard.State;

/// <summary>
/// A statement of PostgreSQL. All rows of an execution are read at once: a connection executes one at a time, and statements that are executed while another
/// one's rows are looked at are usual here. What callers ask for is limited.
/// </summary>
internal sealed class PostgresStatement : IStatement
{
    private readonly PostgresConnection connection;
    private readonly NpgsqlCommand command;
    private List<object?[]>? rows;
    private int at;

    /// <summary>Sends nothing yet.</summary>
    /// <param name="connection">Executes it.</param>
    /// <param name="raw">Its connection.</param>
    /// <param name="sql">The statement, with parameters as SQLite has them.</param>
    public PostgresStatement(PostgresConnection connection, NpgsqlConnection raw, string sql)
    {
        this.connection = connection;
        command = new NpgsqlCommand(Parameters(sql), raw);
    }

    /// <inheritdoc/>
    public IStatement Bind(int index, long value) => Set(index, NpgsqlDbType.Bigint, value);

    /// <inheritdoc/>
    public IStatement Bind(int index, bool value) => Set(index, NpgsqlDbType.Boolean, value);

    /// <inheritdoc/>
    public IStatement Bind(int index, string value) => Set(index, NpgsqlDbType.Text, Storable(value));

    /// <inheritdoc/>
    public IStatement Bind(int index, ReadOnlySpan<byte> value) =>
        value.IsEmpty ? BindNull(index) : Set(index, NpgsqlDbType.Bytea, value.ToArray());

    /// <inheritdoc/>
    public IStatement BindNull(int index) => Set(index, NpgsqlDbType.Unknown, DBNull.Value);

    /// <inheritdoc/>
    public bool Step()
    {
        rows ??= Execute();

        if (at < rows.Count)
        {
            at++;
            return true;
        }

        Reset();
        return false;
    }

    /// <inheritdoc/>
    public void Run()
    {
        while (Step())
        {
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        rows = null;
        at = 0;
    }

    /// <inheritdoc/>
    public bool IsNull(int column) => Value(column) is null;

    /// <inheritdoc/>
    public long Integer(int column) => Value(column) is { } value ? Convert.ToInt64(value, CultureInfo.InvariantCulture) : 0;

    /// <inheritdoc/>
    public string Text(int column) => Value(column) as string ?? "";

    /// <inheritdoc/>
    public ReadOnlySpan<byte> Bytes(int column) => Value(column) as byte[] ?? [];

    /// <inheritdoc/>
    public void Dispose() => command.Dispose();

    /// <summary>?1 as $1. No statement has a question mark for anything else.</summary>
    private static string Parameters(string sql) => sql.Replace('?', '$');

    /// <summary>A text as PostgreSQL takes it: it has no character 0, and nothing that is no Unicode.</summary>
    private static string Storable(string text) =>
        Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)).Replace('\0', '\uFFFD');

    private PostgresStatement Set(int index, NpgsqlDbType type, object value)
    {
        if (rows is not null)
        {
            Reset();
        }

        while (command.Parameters.Count < index)
        {
            command.Parameters.Add(new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Unknown, Value = DBNull.Value });
        }

        command.Parameters[index - 1] = new NpgsqlParameter { NpgsqlDbType = type, Value = value };
        return this;
    }

    private List<object?[]> Execute()
    {
        var read = new List<object?[]>();
        using var reader = command.ExecuteReader();

        while (reader.Read())
        {
            var row = new object?[reader.FieldCount];

            for (var column = 0; column < row.Length; column++)
            {
                row[column] = reader.IsDBNull(column) ? null : reader.GetValue(column);
            }

            read.Add(row);
        }

        reader.Close();
        connection.Changed(reader.RecordsAffected);
        return read;
    }

    private object? Value(int column) => rows is { } read && at > 0 ? read[at - 1][column] : null;
}
