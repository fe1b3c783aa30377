using Agent.Core.Dashboard;
using Agent.Host;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Hosting.StaticWebAssets;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Agent.Dashboard;

/// <summary>The command <c>serve</c>: receives samples, stores them and shows the page until a signal ends it.</summary>
internal static class Serving
{
    private const int Success = 0;
    private const int Failure = 1;

    /// <summary>Runs until SIGTERM or Ctrl-C; the exit code.</summary>
    public static int Run(ServeSettings settings, string version, AgentClock clock, TextWriter output, TextWriter errors)
    {
        var app = Build(settings);

        app.UseStaticFiles();
        app.MapGet("/healthz", static context => context.Response.WriteAsync("{\"ok\":true}"));

        try
        {
            app.Start();
        }
        catch (IOException taken)
        {
            errors.WriteLine($"{DashboardCli.ProgramName}: {taken.Message}");
            return Failure;
        }

        output.WriteLine($"{DashboardCli.ProgramName} {version} listens on {Address(app)}, database {settings.Database}");
        app.WaitForShutdown();
        return Success;
    }

    /// <summary>
    /// An application that knows no configuration but ours: the usual builder would read ASPNETCORE_URLS, URLS and
    /// Kestrel__Endpoints__* from the environment, of which the last opens listeners beside the one that was asked for.
    /// </summary>
    private static WebApplication Build(ServeSettings settings)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions
        {
            ApplicationName = "ai-dashboard",
            EnvironmentName = Environments.Production,
            ContentRootPath = AppContext.BaseDirectory,
        });

        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => Configure(kestrel, settings));

        // A build leaves the files where they are and lists them; a published tree has them in wwwroot.
        StaticWebAssetsLoader.UseStaticWebAssets(builder.Environment, builder.Configuration);
        builder.Services.AddRoutingCore();
        return builder.Build();
    }

    private static void Configure(KestrelServerOptions kestrel, ServeSettings settings)
    {
        kestrel.AddServerHeader = false;

        if (settings.Listen.Address is { IsValueSome: true, Value: var address })
        {
            kestrel.Listen(address, settings.Listen.Port);
        }
        else
        {
            kestrel.ListenLocalhost(settings.Listen.Port);
        }
    }

    private static string Address(IHost app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
}
