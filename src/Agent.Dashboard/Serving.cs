using System.Buffers;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard;

/// <summary>The command <c>serve</c>: receives samples, stores them and shows the page until a signal ends it.</summary>
internal static class Serving
{
    private const long MinutesPerDay = 24 * 60;

    /// <summary>Runs until SIGTERM or Ctrl-C; the exit code.</summary>
    public static int Run(ServeSettings settings, AgentClock clock, CommandLineProgram program) =>
        AccessControl.Open(settings, clock, program.Complain).Match(
            access =>
            {
                using (access)
                {
                    return Run(settings, access, clock, program);
                }
            },
            sentence => program.Refuse([sentence]));

    private static int Run(ServeSettings settings, AccessControl access, AgentClock clock, CommandLineProgram program) =>
        Database.OpenForWriting(settings.Database, clock).Match(
            connection =>
            {
                try
                {
                    return Run(settings, connection, access, clock, program);
                }
                catch (SqliteException failure)
                {
                    return program.Fail($"--database: \"{settings.Database}\" cannot be used: {failure.Message}");
                }
            },
            program.Fail);

    private static int Run(
        ServeSettings settings, SqliteConnection connection, AccessControl access, AgentClock clock, CommandLineProgram program)
    {
        using var writer = new Writer(connection, settings.RetentionDays, clock, program.Complain);
        using var readers = new Readers(settings.Database);
        using var histories = new Histories(settings.Database, clock);
        var app = Application.Build(settings, access, writer, readers, histories, program.Version, clock, program.Complain);

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

    private static string Address(IHost app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
}
