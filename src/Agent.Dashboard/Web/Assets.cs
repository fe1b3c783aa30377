using Microsoft.AspNetCore.StaticFiles;
using Microsoft.Extensions.FileProviders;

namespace Agent.Dashboard.Web;

/// <summary>
/// The files of the page. A published tree has each of them compressed beside it, made once and as small as it gets, and whoever takes that
/// gets it; each of them has an ETag of its own, so that asking again is answered with 304.
/// </summary>
internal sealed class Assets(IFileProvider files)
{
    private static readonly ContentCoding[] Compressed = [ContentCoding.Brotli, ContentCoding.Gzip];

    /// <summary>Files are asked for again each time, and mostly answered with 304.</summary>
    public StaticFileOptions Options { get; } = new()
    {
        FileProvider = files,
        ContentTypeProvider = new TypesBeneath(),
        OnPrepareResponse = static served =>
        {
            var response = served.Context.Response;
            response.Headers.CacheControl = "no-cache";
            EncodingOf(served.File.Name).Say(response);
        },
    };

    /// <summary>Makes a request for a file one for the same file compressed, where there is one that the client takes.</summary>
    public Task Choose(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        var isFile = request.Path.StartsWithSegments("/assets", StringComparison.Ordinal)
            || request.Path.StartsWithSegments("/_content", StringComparison.Ordinal);

        if (isFile && (HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method)))
        {
            var path = request.Path.Value ?? "";
            var best = Compressed.FirstOrDefault(
                encoding => request.Takes(encoding) && files.GetFileInfo(path + encoding.Ending()).Exists);

            if (best != ContentCoding.Identity)
            {
                request.Path = new PathString(path + best.Ending());
            }
        }

        return next(context);
    }

    private static ContentCoding EncodingOf(string name) =>
        Compressed.FirstOrDefault(encoding => name.EndsWith(encoding.Ending(), StringComparison.Ordinal));

    /// <summary>The type of a compressed file is that of the file in it.</summary>
    private sealed class TypesBeneath : IContentTypeProvider
    {
        private readonly FileExtensionContentTypeProvider types = new();

        public bool TryGetContentType(string subpath, [System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out string contentType) =>
            types.TryGetContentType(subpath[..^EncodingOf(subpath).Ending().Length], out contentType);
    }
}
