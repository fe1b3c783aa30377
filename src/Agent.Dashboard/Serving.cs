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
    private const long MinutesPerDay = 24 * 60;

    /// <summary>Runs until SIGTERM or Ctrl-C; the exit code.</summary>
    public static int Run(ServeSettings settings, AgentClock clock, CommandLineProgram program) =>
        OpenSessions(settings, clock).Match(
            sessions => Database.OpenForWriting(settings.Database, clock).Match(
                connection =>
                {
                    try
                    {
                        return Run(settings, connection, sessions, clock, program);
                    }
                    catch (SqliteException failure)
                    {
                        return program.Fail($"--database: \"{settings.Database}\" cannot be used: {failure.Message}");
                    }
                },
                program.Fail),
            error => program.Refuse([error.Message]));

    private static int Run(
        ServeSettings settings, SqliteConnection connection, Sessions? sessions, AgentClock clock, CommandLineProgram program)
    {
        using var writer = new Writer(connection, settings.RetentionDays, clock, program.Complain);
        using var readers = new Readers(settings.Database);
        using var histories = new Histories(settings.Database, clock);
        var app = Application.Build(settings, sessions, writer, readers, histories, program.Version, clock, program.Complain);

        try
        {
            app.Start();
        }
        catch (Exception taken) when (taken is IOException or AddressInUseException or System.Net.Sockets.SocketException)
        {
            return program.Fail($"--listen: {taken.Message}");
        }

        var address = Address(app);
        writer.Remember(Setting.Listen, address).Wait();
        program.Output.WriteLine($"{program.Name} {program.Version} listens on {address}, database {settings.Database}");
        _ = WarmUp(writer, histories, settings.RetentionDays, clock);
        app.WaitForShutdown();
        program.Output.WriteLine($"{program.Name} stopped; {writer.Figures.Samples} samples stored");
        return ExitCode.Success;
    }

    /// <summary>
    /// Reads the longest history of one server and throws it away: the first caller would otherwise wait for the code to be compiled.
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
