using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Agent.Dashboard.Store;

/// <summary>
/// A prepared statement of a connection. The commands of Microsoft.Data.Sqlite box each value and allocate for each execution,
/// which is what a receiver of thousands of rows a second cannot afford; its connection's handle is the way past them.
/// Not safe for several threads.
/// </summary>
internal sealed class Statement : IStatement
{
    private readonly sqlite3 database;
    private readonly sqlite3_stmt statement;

    /// <summary>True from a row to the end of the execution. One that an exception ended early is still there at the next one.</summary>
    private bool isAtRow;

    /// <summary>Prepares <paramref name="sql"/>.</summary>
    /// <exception cref="SqliteException">It cannot be prepared.</exception>
    public Statement(SqliteConnection connection, string sql)
    {
        database = connection.Handle ?? throw new InvalidOperationException("the connection is closed");
        Check(raw.sqlite3_prepare_v2(database, sql, out statement));
    }

    /// <summary>Sets a parameter, from 1.</summary>
    public Statement Bind(int index, long value)
    {
        End();
        Check(raw.sqlite3_bind_int64(statement, index, value));
        return this;
    }

    /// <summary>Sets a parameter, from 1.</summary>
    public Statement Bind(int index, double value)
    {
        End();
        Check(raw.sqlite3_bind_double(statement, index, value));
        return this;
    }

    /// <summary>Sets a parameter, from 1.</summary>
    public Statement Bind(int index, string value)
    {
        End();
        Check(raw.sqlite3_bind_text(statement, index, value));
        return this;
    }

    /// <summary>Sets a parameter, from 1. No bytes are NULL.</summary>
    public Statement Bind(int index, ReadOnlySpan<byte> value)
    {
        End();
        Check(value.IsEmpty ? raw.sqlite3_bind_null(statement, index) : raw.sqlite3_bind_blob(statement, index, value));
        return this;
    }

    /// <summary>Sets a parameter, from 1, to NULL.</summary>
    public Statement BindNull(int index)
    {
        End();
        Check(raw.sqlite3_bind_null(statement, index));
        return this;
    }

    /// <summary>Goes to the next row; false, and ready for the next execution, when there is none.</summary>
    /// <exception cref="SqliteException">It cannot be executed.</exception>
    public bool Step()
    {
        var result = raw.sqlite3_step(statement);

        if (result == raw.SQLITE_ROW)
        {
            isAtRow = true;
            return true;
        }

        isAtRow = false;
        var reset = raw.sqlite3_reset(statement);
        Check(result == raw.SQLITE_DONE ? reset : result);
        return false;
    }

    /// <summary>Executes it for what it does.</summary>
    /// <exception cref="SqliteException">It cannot be executed.</exception>
    public void Run()
    {
        while (Step())
        {
        }
    }

    /// <summary>Ends an execution before its last row.</summary>
    public void Reset()
    {
        isAtRow = false;
        raw.sqlite3_reset(statement);
    }

    /// <summary>Whether a column of the row, from 0, is NULL.</summary>
    public bool IsNull(int column) => raw.sqlite3_column_type(statement, column) == raw.SQLITE_NULL;

    /// <summary>What a column of the row, from 0, is: SQLITE_NULL, SQLITE_INTEGER and so on.</summary>
    public int Kind(int column) => raw.sqlite3_column_type(statement, column);

    /// <summary>A column of the row, from 0; 0 for NULL.</summary>
    public long Integer(int column) => raw.sqlite3_column_int64(statement, column);

    /// <summary>A column of the row, from 0.</summary>
    public double Real(int column) => raw.sqlite3_column_double(statement, column);

    /// <summary>A column of the row, from 0; empty for NULL.</summary>
    public string Text(int column) => raw.sqlite3_column_text(statement, column).utf8_to_string() ?? "";

    /// <summary>A column of the row, from 0; empty for NULL. Good until the next step.</summary>
    public ReadOnlySpan<byte> Bytes(int column) => raw.sqlite3_column_blob(statement, column);

    /// <inheritdoc/>
    public void Dispose() => statement.Dispose();

    /// <inheritdoc/>
    IStatement IStatement.Bind(int index, long value) => Bind(index, value);

    /// <inheritdoc/>
    IStatement IStatement.Bind(int index, bool value) => Bind(index, value ? 1 : 0);

    /// <inheritdoc/>
    IStatement IStatement.Bind(int index, string value) => Bind(index, value);

    /// <inheritdoc/>
    IStatement IStatement.Bind(int index, ReadOnlySpan<byte> value) => Bind(index, value);

    /// <inheritdoc/>
    IStatement IStatement.BindNull(int index) => BindNull(index);

    private void End()
    {
        if (isAtRow)
        {
            Reset();
        }
    }

    private void Check(int result)
    {
        if (result != raw.SQLITE_OK)
        {
            throw new SqliteException(
                raw.sqlite3_errmsg(database).utf8_to_string(), result & 0xff, raw.sqlite3_extended_errcode(database));
        }
    }
}
