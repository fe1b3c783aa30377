using System.Security.Cryptography;
using System.Text;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>PBKDF2 with HMAC-SHA-512, by the class library.</summary>
internal static class Passwords
{
    /// <summary>What is kept of a password.</summary>
    public static PasswordHash Hash(string password)
    {
        var salt = RandomNumberGenerator.GetBytes(Credentials.SaltBytes);
        return new PasswordHash(Credentials.Iterations, salt, Derive(password, salt, Credentials.Iterations, Credentials.HashBytes));
    }

    /// <summary>Whether a password is the one that something was kept of. Takes a tenth of a second or more.</summary>
    public static bool Matches(string password, PasswordHash kept) =>
        CryptographicOperations.FixedTimeEquals(Derive(password, kept.Salt, kept.Iterations, kept.Hash.Length), kept.Hash);

    /// <summary>A short text that changes whenever what is kept of a password does, and says nothing of it.</summary>
    public static string Stamp(PasswordHash kept) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(Credentials.PasswordText(kept))))[..16];

    private static byte[] Derive(string password, byte[] salt, int iterations, int length) =>
        Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt, iterations, HashAlgorithmName.SHA512, length);
}
