using System.Text;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Agent.Receiver;
using Microsoft.FSharp.Core;
using Npgsql;

namespace Agent.Dashboard.State;

/// <summary>Opens the state in PostgreSQL: for <c>serve</c>, and for a command.</summary>
internal static class StateOpening
{
    /// <summary>No file of a password is longer, in bytes.</summary>
    private const int LongestPassword = 4096;

    /// <summary>Connects and brings the tables up to date; the error says why it cannot be used.</summary>
    public static FSharpResult<(NpgsqlDataSource Source, PostgresConnection Connection), Unopened> Connect(
        StateSettings settings, Action<string> complain) =>
        Password(settings.PasswordFile, complain).Match(
            password => Connect(settings.Address, password),
            static sentence => Refused(sentence, isUsage: true));

    private static FSharpResult<(NpgsqlDataSource Source, PostgresConnection Connection), Unopened> Connect(StateAddress address, string password)
    {
        if (PostgresCertificate.Unusable(address) is { } unusable)
        {
            return Refused(unusable, isUsage: true);
        }

        NpgsqlDataSource? source = null;
        PostgresConnection? connection = null;

        try
        {
            source = PostgresConnection.Source(address, password);
            connection = PostgresConnection.Open(source);

            if (PostgresMigrations.Apply(connection, address) is not { } refusal)
            {
                return FSharpResult<(NpgsqlDataSource, PostgresConnection), Unopened>.NewOk((source, connection));
            }

            connection.Dispose();
            source.Dispose();
            return Refused(refusal, isUsage: true);
        }
        catch (Exception failure) when (PostgresFault.IsOne(failure))
        {
            connection?.Dispose();
            source?.Dispose();
            return Refused($"--state: \"{address.Url}\" cannot be used: {PostgresFault.Reason(failure, address)}", isUsage: false);
        }
    }

    private static FSharpResult<(NpgsqlDataSource Source, PostgresConnection Connection), Unopened> Refused(string sentence, bool isUsage) =>
        FSharpResult<(NpgsqlDataSource, PostgresConnection), Unopened>.NewError(new(sentence, isUsage));

    /// <summary>The driver reads libpq's file of passwords whoever else can read it, which libpq does not.</summary>
    private static void WarnOfPasswordFile(Action<string> complain)
    {
        var file = Environment.GetEnvironmentVariable("PGPASSFILE");

        if (string.IsNullOrEmpty(file))
        {
            file = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".pgpass");
        }

        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable("PGPASSWORD")) && File.Exists(file))
        {
            PrivateText.WarnOfReaders("--state", file, complain);
        }
    }

    /// <summary>The password in the first line of a file; empty without a file.</summary>
    private static FSharpResult<string, string> Password(string path, Action<string> complain)
    {
        if (path.Length == 0)
        {
            WarnOfPasswordFile(complain);
            return FSharpResult<string, string>.NewOk("");
        }

        try
        {
            if (new FileInfo(path).Length > LongestPassword)
            {
                return FSharpResult<string, string>.NewError($"--state-password-file: \"{path}\" is larger than {LongestPassword} bytes");
            }

            var password = File.ReadAllText(path, Encoding.UTF8).Split('\n')[0].Trim();

            if (password.Length == 0)
            {
                return FSharpResult<string, string>.NewError($"--state-password-file: \"{path}\" has no password in its first line");
            }

            PrivateText.WarnOfReaders("--state-password-file", path, complain);
            return FSharpResult<string, string>.NewOk(password);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return FSharpResult<string, string>.NewError($"--state-password-file: \"{path}\" cannot be read: {FaultReason.Of(unreadable)}");
        }
    }
}
