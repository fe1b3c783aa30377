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

        return AccessControl.Open(settings, clock, Complain).Match(
            access =>
            {
                using (access)
                {
                    return Database.OpenForWriting(settings.Database, clock).Match(
                        connection =>
                        {
                            try
                            {
                                return Run(settings, version, connection, access, clock, output, Complain);
                            }
                            catch (SqliteException failure)
                            {
                                return Fail(Failure, $"--database: \"{settings.Database}\" cannot be used: {failure.Message}");
                            }
                        },
                        sentence => Fail(Failure, sentence));
                }
            },
            sentence => Fail(UsageError, sentence));
    }

    private static int Run(
        ServeSettings settings,
        string version,
        SqliteConnection connection,
        AccessControl access,
        AgentClock clock,
        TextWriter output,
        Action<string> complain)
    {
        using var writer = new Writer(connection, settings.RetentionDays, clock, complain);
        using var readers = new Readers(settings.Database);
        var app = Application.Build(settings, access, writer, readers, version, clock, complain);

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
        _ = WarmUp(writer, readers, settings.RetentionDays, clock);
        app.WaitForShutdown();
        output.WriteLine($"{DashboardCli.ProgramName} stopped; {writer.Figures.Samples} samples stored");
        return Success;
    }

    /// <summary>
    /// Reads the longest history of one server and throws it away: whoever asks first would else wait for the code to be compiled.
    /// </summary>
    private static Task WarmUp(Writer writer, Readers readers, int days, AgentClock clock) =>
        writer.Fleet.All.FirstOrDefault() is not { } server
            ? Task.CompletedTask
            : Task.Run(() => readers.Use(
                reader =>
                {
                    var now = RowKey.Microseconds(clock.GetUtcNow());
                    var from = now - (days * MinutesPerDay * RowKey.MicrosecondsPerMinute);
                    Responses.HistoryInto(new ArrayBufferWriter<byte>(), server.Registration.Slug, reader.Read(server.Id, from, now, now));
                    return true;
                },
                CancellationToken.None));

    private static string Address(IHost app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
}
