using System.Text;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>Reads a small text file that the user named.</summary>
internal static class UserFile
{
    /// <summary>No token and no bundle of certificates is longer; /dev/zero is.</summary>
    private const int Longest = 4 * 1024 * 1024;

    /// <summary>Its text, or a clause that says why there is none.</summary>
    public static FSharpResult<string, string> Read(string path)
    {
        try
        {
            if (Directory.Exists(path))
            {
                return Failed("is a directory");
            }

            using var reader = new StreamReader(path, Encoding.UTF8);
            var text = new StringBuilder();
            var piece = new char[4096];

            for (var count = reader.Read(piece); count > 0; count = reader.Read(piece))
            {
                if (text.Append(piece, 0, count).Length > Longest)
                {
                    return Failed("is longer than 4 MiB");
                }
            }

            return FSharpResult<string, string>.NewOk(text.ToString());
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            return Failed("does not exist");
        }
        catch (UnauthorizedAccessException)
        {
            return Failed("cannot be read: permission denied");
        }
        catch (IOException error)
        {
            return Failed($"cannot be read: {FaultReason.Of(error)}");
        }
    }

    /// <summary>A warning when every user of the machine can read the file; empty otherwise.</summary>
    public static string Exposure(string path, string origin)
    {
        try
        {
            return (File.GetUnixFileMode(path) & UnixFileMode.OtherRead) != 0
                ? $"{origin}: every user of this machine can read {path}; chmod 600 it"
                : "";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static FSharpResult<string, string> Failed(string reason) => FSharpResult<string, string>.NewError(reason);
}
