using System.Buffers;
using Agent.Core;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard;

/// <summary>The command <c>serve</c>: receives samples, stores them and shows the page until a signal ends it.</summary>
internal static class Serving
{
    private const int Success = 0;
    private const int Failure = 1;
    private const int UsageError = 2;
    private const long MinutesPerDay = 24 * 60;

    /// <summary>Runs until SIGTERM or Ctrl-C; the exit code.</summary>
    public static int Run(ServeSettings settings, string version, AgentClock clock, TextWriter output, TextWriter errors)
    {
        void Complain(string sentence)
        {
            lock (errors)
            {
                errors.WriteLine($"{DashboardCli.ProgramName}: {sentence}");
            }
        }

        int Fail(int code, string sentence)
        {
            Complain(sentence);
            return code;
        }

        return OpenSessions(settings, clock).Match(
            sessions => Database.OpenForWriting(settings.Database, clock).Match(
                connection =>
                {
                    try
                    {
                        return Run(settings, version, connection, sessions, clock, output, Complain);
                    }
                    catch (SqliteException failure)
                    {
                        return Fail(Failure, $"--database: \"{settings.Database}\" cannot be used: {failure.Message}");
                    }
                },
                sentence => Fail(Failure, sentence)),
            error => Fail(UsageError, error.Message));
    }

    private static int Run(
        ServeSettings settings,
        string version,
        SqliteConnection connection,
        Sessions? sessions,
        AgentClock clock,
        TextWriter output,
        Action<string> complain)
    {
        using var writer = new Writer(connection, settings.RetentionDays, clock, complain);
        using var readers = new Readers(settings.Database);
        using var histories = new Histories(settings.Database, clock);
        var app = Application.Build(settings, sessions, writer, readers, histories, version, clock, complain);

        try
        {
            app.Start();
        }
        catch (Exception taken) when (taken is IOException or AddressInUseException or System.Net.Sockets.SocketException)
        {
            complain($"--listen: {taken.Message}");
            return Failure;
        }

        var address = Address(app);
        writer.Remember(Setting.Listen, address).Wait();
        output.WriteLine($"{DashboardCli.ProgramName} {version} listens on {address}, database {settings.Database}");
        _ = WarmUp(writer, histories, settings.RetentionDays, clock);
        app.WaitForShutdown();
        output.WriteLine($"{DashboardCli.ProgramName} stopped; {writer.Figures.Samples} samples stored");
        return Success;
    }

    /// <summary>
    /// Reads the longest history of one server and throws it away: whoever asks first would else wait for the code to be compiled.
    /// </summary>
    private static async Task WarmUp(Writer writer, Histories histories, int days, AgentClock clock)
    {
        if (writer.Fleet.All.FirstOrDefault() is not { } server)
        {
            return;
        }

        var now = RowKey.Microseconds(clock.GetUtcNow());
        var from = now - (days * MinutesPerDay * RowKey.MicrosecondsPerMinute);

        try
        {
            await (histories.Make(
                server.Id,
                from,
                now,
                now,
                (history, _) =>
                {
                    Responses.HistoryInto(new ArrayBufferWriter<byte>(), server.Registration.Slug, history);
                    return true;
                },
                CancellationToken.None) ?? Task.FromResult(false));
        }
        catch (Exception tooMuch) when (tooMuch is WorkLimitException or SqliteException)
        {
            // Whoever asks for it hears of it.
        }
    }

    private static FSharpResult<Sessions?, ConfigError> OpenSessions(ServeSettings settings, AgentClock clock)
    {
        var path = settings.ViewerPasswordFile;

        if (path.Length == 0)
        {
            return FSharpResult<Sessions?, ConfigError>.NewOk(null);
        }

        try
        {
            return Access.PasswordOf(path, File.ReadAllText(path)).Select(password => (Sessions?)new Sessions(password, clock));
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return FSharpResult<Sessions?, ConfigError>.NewError(
                new ConfigError("--viewer-password-file", $"--viewer-password-file: \"{path}\" cannot be read: {unreadable.Message}"));
        }
    }

    private static string Address(IHost app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
}
