using Agent.Receiver;
using Agent.Dashboard.Alerting;
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
        AccessControl access,
        Writer writer,
        IStateStore store,
        Readers readers,
        Histories histories,
        AlertBook alerts,
        Channels? channels,
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

        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => Configure(kestrel, settings, access.Tls));

        // A build leaves the files where they are and lists them; a published tree has them in wwwroot.
        StaticWebAssetsLoader.UseStaticWebAssets(builder.Environment, builder.Configuration);
        builder.Services.AddRoutingCore();
        // Answers do not mix secrets with text that an outsider chooses, so their compressed length reveals nothing over TLS. A new
        // server's token stands beside its name, but no page from elsewhere can ask for one, and none comes twice.
        builder.Services.AddResponseCompression(static options =>
        {
            options.EnableForHttps = true;
            options.MimeTypes = ["application/json", "text/html", "text/plain", "text/css", "text/javascript", "image/svg+xml"];
        });
        access.Oidc?.AddTo(builder.Services);
        builder.Services.Configure<HostOptions>(static options => options.ShutdownTimeout = TimeSpan.FromSeconds(5));

        var app = builder.Build();
        var hub = new Hub(clock);
        writer.OnStored = hub.Tell;
        writer.OnRegistrations = hub.TellRegistrations;
        writer.Storage.OnChange = storage => hub.Tell(Responses.StorageEvent(storage));
        app.Lifetime.ApplicationStopping.Register(hub.Close);

        var guard = new Guard(access);
        app.UseResponseCompression();
        app.Use((context, next) => Survive(context, next, complain));
        app.Use((context, next) => guard.Handle(context, next));
        Map(app, settings, access, writer, store, readers, histories, alerts, channels, hub, version, clock);
        return app;
    }

    private static void Configure(KestrelServerOptions kestrel, ServeSettings settings, TlsCertificates? tls)
    {
        kestrel.AddServerHeader = false;
        // A token that is no ASCII is a wrong token, not a bad request without a word.
        kestrel.RequestHeaderEncodingSelector = static _ => System.Text.Encoding.Latin1;
        kestrel.Limits.MaxConcurrentConnections = ConnectionLimit.All;
        kestrel.Limits.MaxRequestHeadersTotalSize = 16384;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(15);
        // The deadline of a body: ten seconds, and more where it is large and comes at the pace of a slow line.
        kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 8192, gracePeriod: TimeSpan.FromSeconds(10));
        kestrel.Limits.MinResponseDataRate = new MinDataRate(bytesPerSecond: 2048, gracePeriod: TimeSpan.FromSeconds(10));
        // Each endpoint has a limit of its own, and an answer that says so.
        kestrel.Limits.MaxRequestBodySize = null;

        var listen = settings.Listen;
        var limit = new ConnectionLimit(settings.AddressConnections, settings.Access.TrustedProxies);

        // Connections are counted before their TLS handshake, which costs work as well.
        void Protect(ListenOptions listener)
        {
            limit.On(listener);
            tls?.Use(listener);
        }

        if (listen.Address is { IsValueSome: true, Value: var address })
        {
            kestrel.Listen(address, listen.Port, Protect);
        }
        else
        {
            kestrel.ListenLocalhost(listen.Port, Protect);
        }
    }

    private static void Map(
        WebApplication app,
        ServeSettings settings,
        AccessControl access,
        Writer writer,
        IStateStore store,
        Readers readers,
        Histories histories,
        AlertBook alerts,
        Channels? channels,
        Hub hub,
        string version,
        AgentClock clock)
    {
        var files = app.Environment.WebRootFileProvider;
        var pages = new Pages(files, writer);
        var ingests = new IngestFigures();
        var assets = new Assets(files);
        var limits = ServerLimitsModule.Of(settings.ServerSamples, settings.ServerKibibytes, settings.ServerDevices);
        var quotas = new Quotas(limits, clock);
        var reads = new ReadEndpoints(
            writer, histories, version, settings.Keeping, access.Login is not null, new Lazy<string[]>(() => Endpoints(app)), clock);
        var own = new OwnEndpoints(writer, readers, hub, ingests, () => store.Report, version, clock);

        if (access.Oidc is not null)
        {
            app.UseAuthentication();
        }

        app.Use(assets.Choose);
        app.UseStaticFiles(assets.Options);
        app.UseRouting();
        app.Use(Guard.AdmitChange);
        var ingest = new IngestEndpoint(writer, ingests, quotas, clock);
        var timeline = new TimelineEndpoint(writer, store, histories, ingest, clock);
        // Of what is not read from a cluster yet, nothing is said rather than that there is nothing.
        RequestDelegate Own(RequestDelegate handle, string detail) =>
            settings.MetricsUrl.Length == 0
                ? handle
                : context => context.Refuse(StatusCodes.Status501NotImplemented, "This is not read from the cluster.", detail);

        app.Map(
            IngestEndpoint.Route,
            settings.MetricsWriteUrl.Length > 0
                ? ingest.Handle
                : Own(
                    ingest.Handle,
                    "samples are read from the cluster of --metrics-url: start the agent with --remote-write, or the dashboard with --metrics-write-url"));
        app.Map(TimelineEndpoint.MachineRoute, timeline.AnnotateMachine);
        app.Map("/api/annotations", timeline.Annotate);
        app.Map(EnrolEndpoint.Route, new EnrolEndpoint(writer, store, new BodyShares(), access.Audit, clock).Handle);
        Get(app, "/api", reads.Root);
        app.Map("/api/servers", new ServersEndpoint(reads.Servers, writer, store, access.Audit, clock).Handle);
        Get(app, "/api/metrics/latest", reads.Latest);
        Get(app, "/api/metrics/history", reads.Metrics);
        Get(app, "/api/fleet/gpus", reads.FleetGpus);
        var jobs = new JobEndpoints(writer, histories, clock);
        Get(app, "/api/verdicts", jobs.Verdicts);
        Get(app, "/api/jobs", jobs.Jobs);
        Get(app, "/api/jobs/{key}", jobs.Job);
        Get(app, "/api/waste", jobs.Waste);
        Get(app, "/api/timeline", timeline.Timeline);
        new AlertEndpoints(alerts, channels, writer, store, histories, access.Audit, clock).MapTo(app);
        Get(app, "/api/events", new EventsEndpoint(hub, writer, settings.AddressStreams).Handle);
        Get(app, OwnEndpoints.HealthPath, own.Health);
        Get(app, OwnEndpoints.MetricsPath, own.Metrics);
        app.Map("/", pages.Index).WithMetadata(ReadOnlyEndpoint.Mark);
        app.Map("/servers/{slug}", pages.Machine).WithMetadata(ReadOnlyEndpoint.Mark);
        app.Map("/jobs/{key}", pages.Job).WithMetadata(ReadOnlyEndpoint.Mark);

        foreach (var page in (string[])["/alerts", "/compare", "/compare/{servers}", "/jobs", "/waste"])
        {
            app.Map(page, pages.Index).WithMetadata(ReadOnlyEndpoint.Mark);
        }

        if (access.Login is { } login)
        {
            var page = new LoginPage(files, login.Marks(access.Oidc is not null));
            app.Map("/login", context =>
                HttpMethods.IsPost(context.Request.Method) ? login.Login(context)
                : HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method) ? page.Send(context)
                : context.RefuseMethod("GET, HEAD, POST"));
            app.Map("/logout", context =>
                HttpMethods.IsPost(context.Request.Method) ? login.Logout(context) : context.RefuseMethod("POST"));
        }

        if (access.Oidc is { } oidc)
        {
            Get(app, OidcLogin.Start, oidc.Challenge);
        }

        app.MapFallback("{*path}", pages.NotFound).WithMetadata(ReadOnlyEndpoint.Mark);
    }

    /// <summary>The paths for programs, in order.</summary>
    private static string[] Endpoints(IEndpointRouteBuilder app) =>
    [
        .. app.DataSources.SelectMany(static source => source.Endpoints).OfType<RouteEndpoint>()
            .Select(static endpoint => endpoint.RoutePattern.RawText ?? "")
            .Where(static path => path.StartsWith("/api", StringComparison.Ordinal) || path is OwnEndpoints.HealthPath or OwnEndpoints.MetricsPath)
            .Select(static path => path.StartsWith("/api", StringComparison.Ordinal) ? path + "/" : path)
            .Order(StringComparer.Ordinal)
    ];

    private static void Get(WebApplication app, string path, RequestDelegate handle) =>
        app.Map(path, context =>
            HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method)
                ? handle(context)
                : context.RefuseMethod("GET, HEAD")).WithMetadata(ReadOnlyEndpoint.Mark);

    /// <summary>An error costs only its own request, and is logged.</summary>
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
        catch (Cluster.ClusterException failure) when (!context.Response.HasStarted)
        {
            await context.Refuse(StatusCodes.Status502BadGateway, "The cluster of metrics cannot be read.", failure.Message);
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
