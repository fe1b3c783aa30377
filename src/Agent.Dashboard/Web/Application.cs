using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.StaticWebAssets;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Web;

/// <summary>The web server and what it answers where.</summary>
internal static class Application
{
    /// <summary>
    /// An application that knows no configuration but ours: the usual builder would read ASPNETCORE_URLS, URLS and
    /// Kestrel__Endpoints__* from the environment, of which the last opens listeners beside the one that was asked for.
    /// </summary>
    public static WebApplication Build(
        ServeSettings settings,
        Sessions? sessions,
        Writer writer,
        Readers readers,
        string version,
        AgentClock clock,
        Action<string> complain)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions
        {
            ApplicationName = "ai-dashboard",
            EnvironmentName = Environments.Production,
            ContentRootPath = AppContext.BaseDirectory,
        });

        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => Configure(kestrel, settings.Listen));

        // A build leaves the files where they are and lists them; a published tree has them in wwwroot.
        StaticWebAssetsLoader.UseStaticWebAssets(builder.Environment, builder.Configuration);
        builder.Services.AddRoutingCore();
        builder.Services.Configure<HostOptions>(static options => options.ShutdownTimeout = TimeSpan.FromSeconds(5));

        var app = builder.Build();
        var hub = new Hub();
        writer.OnStored = hub.Tell;
        writer.OnRegistrations = hub.TellRegistrations;
        writer.Storage.OnChange = storage => hub.Tell(Responses.StorageEvent(storage));
        app.Lifetime.ApplicationStopping.Register(hub.Close);

        app.Use((context, next) => Survive(context, next, complain));
        app.Use((context, next) => new Guard(sessions, settings.ProxyUserHeader).Handle(context, next));
        Map(app, settings, sessions, writer, readers, hub, version, clock);
        return app;
    }

    private static void Configure(KestrelServerOptions kestrel, ListenAddress listen)
    {
        kestrel.AddServerHeader = false;
        // A token that is no ASCII is a wrong token, not a bad request without a word.
        kestrel.RequestHeaderEncodingSelector = static _ => System.Text.Encoding.Latin1;
        kestrel.Limits.MaxConcurrentConnections = 4096;
        kestrel.Limits.MaxRequestHeadersTotalSize = 16384;
        // Each endpoint has a limit of its own, and an answer that says so.
        kestrel.Limits.MaxRequestBodySize = null;

        if (listen.Address is { IsValueSome: true, Value: var address })
        {
            kestrel.Listen(address, listen.Port);
        }
        else
        {
            kestrel.ListenLocalhost(listen.Port);
        }
    }

    private static void Map(
        WebApplication app,
        ServeSettings settings,
        Sessions? sessions,
        Writer writer,
        Readers readers,
        Hub hub,
        string version,
        AgentClock clock)
    {
        var files = app.Environment.WebRootFileProvider;
        var pages = new Pages(files);
        var ingests = new IngestFigures();
        var reads = new ReadEndpoints(writer, readers, version, settings.Keeping, sessions is not null, clock);
        var own = new OwnEndpoints(writer, readers, hub, ingests, version, clock);

        app.UseStaticFiles(Pages.Options(files));
        app.UseRouting();
        app.Map(IngestEndpoint.Route, new IngestEndpoint(writer, ingests, clock).Handle);
        Get(app, "/api", reads.Root);
        Get(app, "/api/servers", reads.Servers);
        Get(app, "/api/metrics/latest", reads.Latest);
        Get(app, "/api/metrics/history", reads.Metrics);
        Get(app, "/api/events", new EventsEndpoint(hub, writer, clock).Handle);
        Get(app, "/healthz", own.Health);
        Get(app, "/metrics", own.Metrics);
        app.Map("/", pages.Index);
        app.Map("/servers/{slug}", pages.Index);

        if (sessions is not null)
        {
            app.Map("/login", context => HttpMethods.IsPost(context.Request.Method) ? sessions.Login(context) : pages.Login(context));
            app.Map("/logout", context =>
                HttpMethods.IsPost(context.Request.Method) ? sessions.Logout(context) : context.RefuseMethod("POST"));
        }

        app.MapFallback("{*path}", Pages.NotFound);
    }

    private static void Get(WebApplication app, string path, RequestDelegate handle) =>
        app.Map(path, context =>
            HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method)
                ? handle(context)
                : context.RefuseMethod("GET, HEAD"));

    /// <summary>What goes wrong costs its request and nothing else, and is told.</summary>
    private static async Task Survive(HttpContext context, RequestDelegate next, Action<string> complain)
    {
        try
        {
            await next(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody waits for an answer any more.
        }
        catch (Exception gone) when (gone is ConnectionResetException or ConnectionAbortedException)
        {
            // Whoever asked hung up in the middle of the request.
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException bad) when (!context.Response.HasStarted)
        {
            await context.Refuse(bad.StatusCode, "The request cannot be read.", bad.Message);
        }
        catch (SqliteException failure) when (!context.Response.HasStarted)
        {
            // The log has it once, from the watch over the storage.
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, "The database cannot be read.", failure.Message);
        }
        catch (Exception defect) when (!context.Response.HasStarted)
        {
            complain($"a defect: {context.Request.Method} {context.Request.Path}: {defect.GetType().Name}: {defect.Message}");
            await context.Refuse(StatusCodes.Status500InternalServerError, "A defect of the dashboard.");
        }
    }
}
